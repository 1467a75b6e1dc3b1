package distro

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// needless are commands of maintainer scripts that an image can do without: they
// only save time (byte-compiling), can be run again (caches of documentation), or
// serve an init system, which containers don't have.
var needless = []string{
	"py3compile", "py3clean", "pycompile", "pyclean", "update-binfmts", "update-python-modules", "dpkg-maintscript-helper",
	"deb-systemd-helper", "deb-systemd-invoke", "systemctl", "systemd-tmpfiles", "invoke-rc.d", "update-rc.d", "service", "telinit", "udevadm",
	"update-menus", "update-mime", "update-mime-database", "update-desktop-database", "update-icon-caches", "gtk-update-icon-cache",
	"update-initramfs", "mandb", "install-info", "update-info-dir", "aa-status", "apparmor_parser", "dpkg-trigger", "ldconfig",
	"db_version", "db_capb", "db_get", "db_stop", "db_purge", "db_unregister", "db_input", "db_go", "db_fset", "db_metaget", "db_reset", "db_title", "db_subst",
	"rm", "rmdir", "kill", "sync", "dpkg", "deb-systemd", "dbus-send", "glib-compile-schemas-noop",
}

// readScripts are the packages whose scripts people have read. do does all that
// they do at a first installation; nil: nothing.
var readScripts = []struct {
	name    *regexp.Regexp
	do      func(in *installer, u *unpacked) error
	upgrade bool // do is also for a version that replaces the base's
}{
	{regexp.MustCompile(`^python3$`), func(in *installer, _ *unpacked) error {
		return in.to.Text("/etc/python3/debian_config", 0o644, "[DEFAULT]\n# how to byte-compile (comma separated: standard, optimize)\nbyte-compile = standard\n")
	}, false},
	{regexp.MustCompile(`^python3\.\d+-minimal$`), func(in *installer, u *unpacked) error {
		at := "/usr/local/lib/" + strings.TrimSuffix(u.name, "-minimal")
		in.to.Command([]string{"mkdir", at, at + "/dist-packages"}, in.accounts, in.base)
		return nil
	}, false},
	{regexp.MustCompile(`^(lib)?python3(\.\d+)?(-minimal|-stdlib)?$`), nil, false}, // byte-compile
	{regexp.MustCompile(`^ca-certificates$`), func(in *installer, _ *unpacked) error {
		in.to.Command([]string{"mkdir", "/usr/local/share/ca-certificates"}, in.accounts, in.base)
		return in.to.Certificates(in.base, "")
	}, true},
	{regexp.MustCompile(`^iputils-ping$`), func(in *installer, _ *unpacked) error {
		ping := in.rules.diverted("/bin/ping", "")
		if in.installed["libcap2-bin"] == nil && in.done["libcap2-bin"] == nil {
			in.to.Command([]string{"chmod", "u+s", ping}, in.accounts, in.base)
			return nil
		}
		in.to.Command([]string{"setcap", "cap_net_raw+ep", ping}, in.accounts, in.base)
		return nil
	}, true},
	{regexp.MustCompile(`^netbase$`), func(in *installer, _ *unpacked) error {
		if _, known := in.isFile("-e", "/etc/networks"); known { // an engine writes /etc/hosts itself
			return in.to.Text("/etc/networks", 0o644, "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n\n")
		}
		return nil
	}, false},
	{regexp.MustCompile(`^tzdata$`), func(in *installer, _ *unpacked) error {
		if there, _ := in.isFile("-e", "/etc/timezone"); there {
			return nil
		}
		in.to.Default(packages.Entry{Path: "/etc/localtime", Type: tar.TypeSymlink, Mode: 0o777, Link: "/usr/share/zoneinfo/Etc/UTC"})
		return in.to.Text("/etc/timezone", 0o644, "Etc/UTC\n")
	}, false},
	{regexp.MustCompile(`^(openssl|libc6|libc-bin|perl-base|perl|libpam0g)$`), nil, false},
}

// scripts does what the maintainer scripts would.
func (in *installer) scripts(ignore []string) error {
	for _, u := range in.order {
		if slices.Contains(ignore, u.name) {
			continue
		}
		if known, err := in.wasRead(u); err != nil {
			return err
		} else if known {
			continue
		}
		for _, script := range []string{"preinst", "postinst"} {
			text := string(u.members[script].data)
			if text == "" {
				continue
			}
			first := map[string]string{"preinst": "install", "postinst": "configure"}[script]
			args := []string{first}
			if old := in.installed[u.name]; old != nil {
				if args = append(args, old.version); script == "preinst" {
					args[0] = "upgrade"
				}
			}
			sh := packages.Shell{Args: args, Do: func(words []string) bool { return in.do(u, words) }, Test: in.test}
			if err := sh.Check(u.String(), script, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// libraries refuses libraries that only ldconfig makes known. The base's own are in
// its cache.
func (in *installer) libraries(ignore []string) error {
	list, err := cachedOnly(in.base, in.to)
	for _, p := range list {
		if u := in.by[p]; u != nil && in.owners[p] == "" && !slices.Contains(ignore, u.name) {
			return &packages.ScriptError{Package: u.String(), Script: "triggers", Line: "ldconfig, for " + p}
		}
	}
	return err
}

// wasRead does what the package's scripts do, if they are among readScripts.
func (in *installer) wasRead(u *unpacked) (bool, error) {
	for _, r := range readScripts {
		if !r.name.MatchString(u.name) {
			continue
		}
		if r.do == nil || in.installed[u.name] != nil && !r.upgrade {
			return true, nil
		}
		return true, r.do(in, u)
	}
	return false, nil
}

// test evaluates dpkg --compare-versions (dpkg(1)) or a test of a file (test(1)), as
// far as the base is known.
func (in *installer) test(words []string) (holds, known bool) {
	if len(words) == 2 && path.IsAbs(words[1]) {
		return in.isFile(words[0], path.Clean(words[1]))
	}
	if len(words) != 5 || words[0] != "dpkg" || words[1] != "--compare-versions" {
		return false, false
	}
	op, nl := strings.CutSuffix(words[3], "-nl")
	c := compareDeb(words[2], words[4])
	if words[2] == "" || words[4] == "" { // an empty one is the oldest, or with -nl the newest
		c = strings.Compare(words[2], words[4])
		if nl {
			c = -c
		}
	}
	holds, known = map[string]bool{"lt": c < 0, "le": c <= 0, "eq": c == 0, "ne": c != 0, "ge": c >= 0, "gt": c > 0}[op]
	return holds, known
}

// isFile answers test -e, -f, -d, -L and -h.
func (in *installer) isFile(flag, p string) (holds, known bool) {
	if !slices.Contains([]string{"-e", "-f", "-d", "-L", "-h"}, flag) {
		return false, false
	}
	var mode fs.FileMode
	if e, ok := in.to.Get(p); ok {
		mode = map[byte]fs.FileMode{tar.TypeDir: fs.ModeDir, tar.TypeSymlink: fs.ModeSymlink}[e.Type]
	} else if info, err := fs.Stat(in.base, p[1:]); err == nil {
		mode = info.Mode()
	} else if !strings.HasPrefix(p, "/etc/") {
		return false, false // the base is not known as a whole
	} else {
		return false, true
	}
	switch {
	case flag == "-d" && mode&fs.ModeSymlink == 0:
		return mode.IsDir(), true
	case flag == "-L" || flag == "-h":
		return mode&fs.ModeSymlink != 0, true
	}
	return mode&fs.ModeSymlink == 0 && (flag == "-e" || mode.IsRegular()), mode&fs.ModeSymlink == 0
}

// do does what the command would, and tells whether it could.
func (in *installer) do(u *unpacked, words []string) bool {
	if slices.Contains(needless, words[0]) {
		return true
	}
	if words[0] == "." { // debconf's
		return strings.HasSuffix(words[len(words)-1], "/confmodule")
	}
	if !packages.Known(words) {
		return false
	}
	switch words[0] {
	case "cp", "mkdir", "chmod", "chown", "chgrp", "ln", "touch", "setcap":
		return in.to.Command(words, in.accounts, in.base)
	case "dpkg-statoverride":
		return in.statoverride(words[1:])
	case "update-alternatives":
		return in.alternative(words[1:])
	case "update-ca-certificates":
		return in.to.Certificates(in.base, "") == nil
	}
	return in.accounts.Command(words, in.to)
}

// statoverride does what dpkg-statoverride(1) would: it records an owner and mode,
// and sets them.
func (in *installer) statoverride(args []string) bool {
	args = slices.DeleteFunc(args, func(a string) bool { return a == "--quiet" || a == "--force" || a == "--update" })
	if len(args) > 0 && args[0] == "--list" {
		return true
	}
	if len(args) != 5 || args[0] != "--add" {
		return false
	}
	e, ok := in.to.Get(args[4])
	if !ok || !in.to.Command([]string{"chown", args[1] + ":" + args[2], args[4]}, in.accounts, in.base) || !in.to.Command([]string{"chmod", args[3], args[4]}, in.accounts, in.base) {
		return false
	}
	const at = "/var/lib/dpkg/statoverride"
	in.written[at] = fmt.Sprintf("%s%s %s %o %s\n", in.text(at), args[1], args[2], e.Mode, args[4])
	return true
}
