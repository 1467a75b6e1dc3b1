"""Places jobs on nodes, each on the one that has the most memory left.

Reads {"nodes": {NAME: MEMORY}, "jobs": {NAME: MEMORY}} from standard input, and
prints {JOB: NODE}, with null for a job that no node has room for.
"""

import json
import sqlite3
import ssl
import sys


def place(nodes, jobs):
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE nodes (name TEXT PRIMARY KEY, free INTEGER NOT NULL)")
    db.executemany("INSERT INTO nodes VALUES (?, ?)", nodes.items())
    placed = {}
    for job, memory in sorted(jobs.items(), key=lambda j: (-j[1], j[0])):
        best = db.execute("SELECT name FROM nodes WHERE free >= ? ORDER BY free DESC, name LIMIT 1", (memory,)).fetchone()
        placed[job] = best and best[0]
        if best:
            db.execute("UPDATE nodes SET free = free - ? WHERE name = ?", (memory, best[0]))
    return placed


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("Python %d.%d, %s, SQLite %s" % (*sys.version_info[:2], ssl.OPENSSL_VERSION, sqlite3.sqlite_version))
    else:
        wanted = json.load(sys.stdin)
        json.dump(place(wanted["nodes"], wanted["jobs"]), sys.stdout, sort_keys=True)
