package distro

import (
	"archive/tar"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// A Debian package brings files, what its scripts are known to do, and dpkg's
// notes of it.
func TestDebian(t *testing.T) {
	r := newDebian(t)
	link := entry{Header: tar.Header{Name: "usr/bin/again", Typeflag: tar.TypeLink, Linkname: "./usr/bin/tool"}}
	r.set("etc/tool.conf", "changed by somebody")
	r.set("etc/dpkg/dpkg.cfg.d/slim.dpkg-old", "path-exclude /usr/bin/*\n")
	r.set("etc/dpkg/dpkg.cfg.d/slim", "path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n")
	r.deb("tool", "2", "Depends: virtual, old (>= 2)\nPre-Depends: loop\n", map[string]string{
		"conffiles": "/etc/tool.conf\n/etc/new.conf\n",
		"postinst":  "#!/bin/sh\nset -e\nNAME=tool\nif [ \"$1\" = \"configure\" ] ; then\n\tadduser --quiet --system --group --no-create-home --home /var/lib/tool $NAME\n\tchown tool:tool /var/lib/tool\nfi\nexit 0\n",
	}, program("./usr/bin/tool", "#!/bin/sh\n"), link, file("etc/tool.conf", "ours"), file("etc/new.conf", "new"),
		entry{Header: tar.Header{Name: "var/lib/tool/", Typeflag: tar.TypeDir, Mode: 0o750}},
		file("usr/share/doc/tool/README", "no"), file("usr/share/doc/tool/copyright", "yes"))
	r.deb("loop", "1", "Depends: tool\nMulti-Arch: same\n", map[string]string{"triggers": "interest-noawait /usr/share/loop\n"})
	r.deb("provider", "1", "Provides: virtual\nPriority: optional\n", nil)
	r.deb("better", "1", "Provides: virtual\nPriority: important\n", nil)
	r.deb("old", "2", "", nil, program("usr/bin/old", "2"))
	entries, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	status := texts["/"+statusPath]
	for _, want := range []string{"Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n", "Package: old\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2", "Package: loop\n", "Package: better\n", "Conffiles:\n /etc/tool.conf ", "Conffiles:\n /etc/a 2 obsolete\n /etc/b 4 obsolete\n /etc/c 3 obsolete\n /etc/d 1 obsolete\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "provider") || strings.Contains(status, "Version: 1.0") {
		t.Errorf("status has what wasn't chosen:\n%s", status)
	}
	if got := entries["/usr/bin/again"]; got.Type != tar.TypeLink || got.Link != "/usr/bin/tool" {
		t.Errorf("hard link: %+v", got)
	}
	if got := entries["/var/lib/tool"]; got.UID != 100 || got.GID != 100 || got.Mode != 0o750 {
		t.Errorf("folder of the user that the script makes: %+v", got)
	}
	if got, ok := entries["/usr/bin/gone"]; !ok || got.Type != packages.Removed {
		t.Errorf("what the newer version hasn't: %+v", got)
	}
	for path, want := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntool:x:100:100::/var/lib/tool:/usr/sbin/nologin\n", "/etc/tool.conf.dpkg-dist": "ours", "/etc/new.conf": "new",
		"/usr/share/doc/tool/copyright": "yes", "/var/lib/dpkg/info/tool.conffiles": "/etc/tool.conf\n/etc/new.conf\n",
		"/var/lib/dpkg/triggers/File": "/usr/share/loop loop:amd64/noawait\n",
	} {
		if texts[path] != want {
			t.Errorf("%s: %q, want %q", path, texts[path], want)
		}
	}
	for _, path := range []string{"/etc/tool.conf", "/usr/share/doc/tool/README"} {
		if _, ok := entries[path]; ok {
			t.Errorf("%s is set", path)
		}
	}
	if want := "Auto-Installed: 1"; strings.Count(texts["/var/lib/apt/extended_states"], want) != 2 { // loop and better
		t.Errorf("extended_states: %s", texts["/var/lib/apt/extended_states"])
	}
}

// An Alpine package, with the one that wants to be there when it is.
func TestAlpine(t *testing.T) {
	r := newAlpine(t)
	capable := program("usr/bin/tool", "x")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
	r.apk("tool", "1.2-r3", "depend = so:libx.so.1\ntriggers = /usr/share/x\n", "D:so:libx.so.1 /bin/sh lib~1.9\n", map[string]string{
		".pre-install": "#!/bin/sh\naddgroup -S tool 2>/dev/null\nadduser -S -D -H -h /var/lib/tool -s /sbin/nologin -G tool -g tool tool 2>/dev/null\nexit 0\n",
	}, entry{Header: tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755}}, capable, file("etc/tool.conf", "a"))
	r.apk("lib", "1.9.1-r0", "", "p:so:libx.so.1=1.9.1\n", nil, file("usr/lib/libx.so.1", "lib"))
	r.apk("lib", "1.10-r0", "", "p:so:libx.so.1=1.10\n", nil, file("usr/lib/libx.so.1", "lib"))
	r.apk("tool-busybox", "1.2-r3", "", "i:tool=1.2-r3 busybox\n", nil, file("usr/share/both", "x"))
	r.apk("tool-nothing", "1.2-r3", "", "i:tool=1.2-r3 docs\n", nil)
	entries, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	installed := texts["/lib/apk/db/installed"]
	if want := []string{"busybox", "lib", "tool", "tool-busybox"}; !slices.Equal(names(installed), want) {
		t.Errorf("installed: %v, want %v", names(installed), want)
	}
	for _, want := range []string{"V:1.9.1-r0\n", "F:usr\n", "F:usr/bin\nR:tool\na:0:0:755\nZ:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\n", "P:busybox\nV:1.36.1-r2\n"} {
		if !strings.Contains(installed, want) {
			t.Errorf("installed lacks %q:\n%s", want, installed)
		}
	}
	if got := texts["/etc/apk/world"]; got != "busybox\ntool\n" {
		t.Errorf("world: %q", got)
	}
	if got := string(entries["/usr/bin/tool"].Xattrs["security.capability"]); got != "\x01\x00\x00\x02" {
		t.Errorf("capability: %q", got)
	}
	if got := texts["/etc/passwd"]; !strings.Contains(got, "tool:x:100:101:tool:/var/lib/tool:/sbin/nologin\n") && !strings.Contains(got, "tool:x:101:100:tool:/var/lib/tool:/sbin/nologin\n") {
		t.Errorf("passwd: %q", got)
	}
	if !strings.HasSuffix(texts["/lib/apk/db/triggers"], " /usr/share/x\n") || !strings.Contains(texts["/lib/apk/db/scripts.tar"], "adduser -S") {
		t.Errorf("triggers %q", texts["/lib/apk/db/triggers"])
	}
}

func TestCompareApk(t *testing.T) {
	// In ascending order: apk-tools' documentation, "Version".
	ordered := []string{"0.1_alpha", "0.1_alpha2", "0.1_beta", "0.1_rc1", "0.1", "0.1-r1", "0.1-r10", "0.1_git20200101", "0.1_p1", "0.1a", "0.1.0", "0.1.05", "0.1.1", "0.2", "1.9", "1.10", "1.10.1"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareApk(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s, %s: %d", a, b, got)
			}
		}
	}
}

func TestParseApkNeeds(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "a>1": "a (>> 1)", "a>=1": "a (>= 1)", "a<1": "a (<< 1)", "a<=1": "a (<= 1)", "a=1": "a (= 1)",
		"a~1": "a (~ 1)", "a=~1": "a (~ 1)", "a~=1": "a (~ 1)", "a@edge": "a", "a><Q1abc=": "a", "a>": "", "=1": "",
	} {
		needs, _, err := parseApkNeeds(text)
		if got := fmt.Sprint(needs); err != nil != (want == "") || err == nil && got != "["+want+"]" {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// A script notes an owner of its own, as a service's does for its settings.
func TestStatoverride(t *testing.T) {
	r := newDebian(t)
	r.deb("tool", "1", "", map[string]string{"postinst": "#!/bin/sh\nset -e\nF=/etc/tool.conf\nadduser --system --group tool\nif ! dpkg-statoverride --list ${F} >/dev/null 2>&1\nthen\n\tdpkg-statoverride --update --add tool tool 640 ${F}\nfi\n"}, file("etc/tool.conf", "x"))
	entries, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := entries["/etc/tool.conf"]; e.UID != 100 || e.GID != 100 || e.Mode != 0o640 {
		t.Errorf("%+v", e)
	}
	if got := texts["/var/lib/dpkg/statoverride"]; got != "tool tool 640 /etc/tool.conf\n" {
		t.Errorf("statoverride: %q", got)
	}
}
