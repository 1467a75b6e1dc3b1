package testenv

import (
	"slices"
	"strings"
)

// The account files of an alpine-shaped base, with the spread of numbers that
// a real one has: gaps, system accounts, nobody at the end.
const (
	basePasswd = `root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/sbin/nologin
daemon:x:2:2:daemon:/sbin:/sbin/nologin
mail:x:8:12:mail:/var/mail:/sbin/nologin
sshd:x:22:22:sshd:/dev/null:/sbin/nologin
guest:x:405:100:guest:/dev/null:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
`
	baseGroup = `root:x:0:root
bin:x:1:root,bin,daemon
daemon:x:2:root,bin,daemon
mail:x:12:mail
sshd:x:22:
users:x:100:guest
nogroup:x:65533:
nobody:x:65534:
`
	baseShadow = `root:*::0:::::
bin:!::0:::::
daemon:!::0:::::
mail:!::0:::::
sshd:!::0:::::
guest:!::0:::::
nobody:!::0:::::
`
	baseRelease = `NAME="Alpine-shaped test base"
ID=alpine
VERSION_ID=3.24.0
PRETTY_NAME="Alpine-shaped test base v3.24"
`
)

// applets are the names under which the base's busybox is found in /bin.
var applets = []string{
	"ash", "base64", "cat", "chmod", "chown", "cp", "date", "echo", "env", "false", "find", "grep", "gzip", "head",
	"hostname", "id", "ln", "ls", "mkdir", "mv", "nc", "ps", "pwd", "readlink", "rm", "sed", "sh", "sleep", "sort",
	"stat", "tail", "tar", "test", "touch", "true", "tty", "uname", "wc", "wget", "whoami", "xargs",
}

// rootfs is the first layer: an alpine's folders, account files and programs.
func (b Base) rootfs(platform string) []Entry {
	bin, root := "bin/", ""
	var entries []Entry
	if b.Merged {
		bin, root = "usr/bin/", "usr/"
		for _, name := range []string{"bin", "lib", "sbin"} {
			entries = append(entries, Symlink(name, "usr/"+name))
		}
	}
	for _, name := range []string{
		"dev/", "etc/", "home/", "media/", "mnt/", "opt/", "proc/", "run/", "srv/", "sys/",
		"usr/", "usr/bin/", "usr/lib/", "usr/local/", "usr/local/bin/", "usr/sbin/", "usr/share/",
		"var/", "var/cache/", "var/lib/", "var/log/",
		root + "bin/", root + "lib/", root + "sbin/",
	} {
		entries = append(entries, Dir(name, 0o755))
	}
	program, ok := b.Programs[platform]
	if !ok {
		program = []byte("busybox of " + platform + " would be here\n")
	}
	shadow := File("etc/shadow", 0o640, baseShadow)
	shadow.Gid = 42
	entries = append(entries,
		Dir("root/", 0o700), Dir("tmp/", 0o1777), Dir("var/tmp/", 0o1777),
		Symlink("var/run", "../run"),
		File("etc/passwd", 0o644, basePasswd),
		File("etc/group", 0o644, baseGroup),
		shadow,
		File("etc/alpine-release", 0o644, "3.24.0\n"),
		File("usr/lib/os-release", 0o644, baseRelease),
		Symlink("etc/os-release", "../usr/lib/os-release"),
		File(bin+"busybox", 0o755, string(program)),
	)
	for _, name := range applets {
		entries = append(entries, Symlink(bin+name, "/bin/busybox"))
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(entries, func(a, b Entry) bool { return a.Name == b.Name })
}
