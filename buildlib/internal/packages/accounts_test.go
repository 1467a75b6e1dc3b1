package packages

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What the commands of maintainer scripts make of a user; empty: it isn't known.
func TestAccountCommand(t *testing.T) {
	base := fstest.MapFS{
		"etc/passwd": {Data: []byte("root:x:0:0:root:/root:/bin/sh\nthere:x:1:1::/:/bin/sh\n")},
		"etc/group":  {Data: []byte("root:x:0:\nthere:x:1:\nvideo:x:44:\naudio:x:29:\nnogroup:x:65534:\n")},
	}
	for command, want := range map[string]string{
		"adduser --system tool":                              "tool:x:100:65534::/nonexistent:/usr/sbin/nologin",
		"adduser --system --group --home /srv tool":          "tool:x:100:100::/srv:/usr/sbin/nologin tool:x:100:",
		"adduser --system --gid 44 tool":                     "tool:x:100:44::/nonexistent:/usr/sbin/nologin",
		"adduser --system --gid=44 tool":                     "tool:x:100:44::/nonexistent:/usr/sbin/nologin",
		"adduser -S -D -H -G video -g comment tool":          "tool:x:100:44:comment:/nonexistent:/usr/sbin/nologin",
		"adduser --quiet there video":                        "video:x:44:there",
		"useradd -r -g video tool":                           "tool:x:999:44::/nonexistent:/usr/sbin/nologin",
		"useradd --system -G video,audio -s /bin/false tool": "tool:x:999:999::/nonexistent:/bin/false tool:x:999: video:x:44:tool audio:x:29:tool",
		"usermod -a -G video,audio there":                    "video:x:44:there audio:x:29:there",
		"usermod -a -G none there":                           "",
		"usermod -g video there":                             "",
		"usermod -d /srv -a -G video there":                  "",
		"usermod -s /bin/false -G video there":               "",
		"addgroup --system --gid 50 tool":                    "tool:x:50:",
	} {
		a, err := ReadAccounts(base)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if a.Command(strings.Fields(command), &Contents{entries: map[string]*Entry{}}) {
			for name, text := range a.files {
				for line := range strings.Lines(text) {
					if !strings.Contains(string(base["etc/"+name].Data), line) {
						got = append(got, strings.TrimSpace(line))
					}
				}
			}
		}
		for _, line := range strings.Fields(want) {
			if !strings.Contains(" "+strings.Join(got, " ")+" ", " "+line+" ") {
				t.Errorf("%s: %q lacks %q", command, got, line)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}
