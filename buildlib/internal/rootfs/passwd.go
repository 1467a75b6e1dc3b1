package rootfs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// passwdLine has the fields of a line of passwd(5) that matter here.
type passwdLine struct {
	name, home string
	uid, gid   int
}

// groupLine has the fields of a line of group(5) that matter here.
type groupLine struct {
	name    string
	gid     int
	members []string
}

type (
	passwdFile []passwdLine
	groupFile  []groupLine
)

// parsePasswd skips lines that aren't accounts, as engines do. The last fields of a
// line may be missing.
func parsePasswd(data []byte) passwdFile {
	var list passwdFile
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 4 || f[0] == "" {
			continue
		}
		f = append(f, "", "")
		uid, isUID := number(f[2])
		gid, isGID := number(f[3])
		if isUID && isGID {
			list = append(list, passwdLine{name: f[0], home: f[5], uid: uid, gid: gid})
		}
	}
	return list
}

func parseGroup(data []byte) groupFile {
	var list groupFile
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 3 || f[0] == "" {
			continue
		}
		f = append(f, "")
		if gid, ok := number(f[2]); ok {
			list = append(list, groupLine{f[0], gid, strings.Split(f[3], ",")})
		}
	}
	return list
}

func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil
}

// first returns the first line that matches: later ones don't count.
func first[L any](lines []L, matches func(L) bool) (line L, ok bool) {
	i := slices.IndexFunc(lines, matches)
	if i < 0 {
		return line, false
	}
	return lines[i], true
}

func (p passwdFile) name(name string) (passwdLine, bool) {
	return first(p, func(l passwdLine) bool { return l.name == name })
}

func (p passwdFile) uid(uid int) (passwdLine, bool) {
	return first(p, func(l passwdLine) bool { return l.uid == uid })
}

// lookup returns the account that engines find for a number in a config's User:
// the first one that has it as its UID or as its name.
func (p passwdFile) lookup(uid int) (passwdLine, bool) {
	return first(p, func(l passwdLine) bool { return l.uid == uid || l.name == strconv.Itoa(uid) })
}

// further reports whether the account is in other groups than its primary one.
func (g groupFile) further(l passwdLine) bool {
	return slices.ContainsFunc(g, func(group groupLine) bool {
		return group.gid != l.gid && slices.Contains(group.members, l.name)
	})
}

func (g groupFile) name(name string) (groupLine, bool) {
	return first(g, func(l groupLine) bool { return l.name == name })
}

func (g groupFile) gid(gid int) (groupLine, bool) {
	return first(g, func(l groupLine) bool { return l.gid == gid })
}

// firstUser is where the numbers of ordinary users start, as in adduser(8).
const firstUser = 1000

func (p passwdFile) free() int {
	taken := map[int]bool{}
	for _, l := range p {
		taken[l.uid] = true
	}
	return firstFree(taken)
}

func (g groupFile) free() int {
	taken := map[int]bool{}
	for _, l := range g {
		taken[l.gid] = true
	}
	return firstFree(taken)
}

func firstFree(taken map[int]bool) int {
	n := firstUser
	for taken[n] {
		n++
	}
	return n
}

// appendLine returns the file with one more line. The others stay as they are.
func appendLine(file []byte, format string, args ...any) []byte {
	file = bytes.Clone(file)
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(file, '\n')
	}
	return fmt.Appendf(file, format+"\n", args...)
}
