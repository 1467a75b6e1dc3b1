package distro

import (
	"slices"
	"strings"
	"testing"
)

// A base may have virtual packages in apk's database, as the official image of
// Python does: their names begin with a dot.
func TestVirtualPackage(t *testing.T) {
	r := newAlpine(t)
	r.set("lib/apk/db/installed", string(r.base["lib/apk/db/installed"].Data)+
		"C:Q1def=\nP:.python-rundeps\nV:20260801.120000\nA:noarch\nS:0\nI:0\nT:virtual meta package\nU:\nL:\nD:so:libx.so.1\n\n"+
		"C:Q1ghi=\nP:lib\nV:1-r0\nA:x86_64\np:so:libx.so.1=1\n\n")
	r.apk("tool", "1-r0", "", "", nil)
	_, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(texts["/lib/apk/db/installed"]); !slices.Equal(got, []string{".python-rundeps", "busybox", "lib", "tool"}) {
		t.Errorf("installed: %q", got)
	}
}

// The choice is the same each time, also of what packages of the base need that have
// to be replaced.
func TestSameChoice(t *testing.T) {
	r := newDebian(t)
	r.set(statusPath, string(r.base[statusPath].Data)+"\nPackage: first\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\nPackage: second\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n")
	r.deb("tool", "1", "Breaks: first (<< 2), second (<< 2)\n", nil)
	r.deb("first", "2", "Depends: a | b\n", nil)
	r.deb("second", "2", "Depends: b\n", nil)
	r.deb("a", "1", "", nil)
	r.deb("b", "1", "", nil)
	m, err := Open(r.base, "amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	client := r.client()
	for range 20 {
		list, err := m.Choose(t.Context(), client, []string{"tool"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list {
			got = append(got, p.Name)
		}
		if want := []string{"a", "b", "first", "second", "tool"}; !slices.Equal(got, want) {
			t.Fatalf("chosen: %q, want %q", got, want)
		}
	}
}

// dpkg-statoverride notes an owner without a name by its number (#1000), which isn't
// a comment.
func TestStatoverrideNumber(t *testing.T) {
	r := newDebian(t)
	r.set("var/lib/dpkg/statoverride", "#1000 #1001 4750 /usr/bin/tool\n")
	r.deb("tool", "1", "", nil, program("usr/bin/tool", "x"))
	entries, _, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := entries["/usr/bin/tool"]; e.UID != 1000 || e.GID != 1001 || e.Mode != 0o4750 {
		t.Errorf("%+v", e)
	}
}

// apt takes tabs between the words of a source as well as spaces.
func TestSourceTabs(t *testing.T) {
	for _, line := range []string{"deb\thttp://a stable main", "deb  [trusted=yes]\thttp://a\tstable\t main # x", "deb\t[ trusted=yes arch=amd64,arm64 ]\thttp://a stable main", "deb\t[trusted=yes]http://a stable main"} {
		found, err := parseList("deb-src\thttp://b stable main\n" + line + "\n")
		if err != nil || len(found) != 1 || found[0].folder() != "http://a/dists/stable" || !slices.Equal(found[0].components, []string{"main"}) || found[0].trusted != (line[4] != 'h') {
			t.Errorf("%q: %+v, %v", line, found, err)
		}
	}
}

// A line may be of any length: one as long as a buffer isn't the end of its paragraph.
func TestLongLine(t *testing.T) {
	for _, length := range []int{1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, maxStanza / 2} {
		var found []string
		text := "Package: a\nLong:" + strings.Repeat("x", max(0, length-len("Long:"))) + "\nVersion: 1\n\n \nPackage: b\r\n\r\n"
		err := eachStanza(strings.NewReader(text), func(s stanza) error {
			found = append(found, s.get("package")+s.get("version"))
			return nil
		})
		if err != nil || !slices.Equal(found, []string{"a1", "b"}) {
			t.Errorf("%d: %q, %v", length, found, err)
		}
	}
	if err := eachStanza(strings.NewReader("Package: a\nLong: "+strings.Repeat("x", maxStanza)+"\n"), nil); err == nil {
		t.Error("a paragraph of any size is read")
	}
	if err := eachStanza(strings.NewReader(strings.Repeat("Package: aaaaaaaaaaaaaaaa\n", maxStanza/20)), nil); err == nil {
		t.Error("a paragraph of any size is read")
	}
}

// touch leaves a file that the base has as it is.
func TestTouch(t *testing.T) {
	for name, r := range map[string]*repository{"deb": newDebian(t), "apk": newAlpine(t)} {
		r.set("etc/tool.conf", "the base's")
		script := "#!/bin/sh\ntouch /etc/tool.conf\ntouch /etc/other.conf\ntouch /etc//ours.conf\n"
		if name == "deb" {
			r.deb("tool", "1", "", map[string]string{"postinst": script}, file("etc/ours.conf", "x"))
		} else {
			r.apk("tool", "1-r0", "", "", map[string]string{".post-install": script}, file("etc/ours.conf", "x"))
		}
		_, texts, err := r.install(r.client(), []string{"tool"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := texts["/etc/tool.conf"]; ok {
			t.Errorf("%s: the base's file is set", name)
		}
		if text, ok := texts["/etc/other.conf"]; !ok || text != "" || texts["/etc/ours.conf"] != "x" {
			t.Errorf("%s: other %q, %t; ours %q", name, text, ok, texts["/etc/ours.conf"])
		}
	}
}

// A newer ca-certificates brings roots and takes others away; what the base deselects
// stays so.
func TestNewerCertificates(t *testing.T) {
	r := newDebian(t)
	r.set(statusPath, string(r.base[statusPath].Data)+"\nPackage: ca-certificates\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n")
	const folder = "usr/share/ca-certificates/mozilla/"
	r.set("var/lib/dpkg/info/ca-certificates.list", "/"+folder+"old.crt\n/"+folder+"same.crt\n/"+folder+"bad.crt\n")
	for _, name := range []string{"old", "same", "bad"} {
		r.set(folder+name+".crt", name+"\n")
	}
	r.set("usr/local/share/ca-certificates/own.crt", "own\n")
	r.set("etc/ca-certificates.conf", "# roots\nmozilla/old.crt\nmozilla/same.crt\n!mozilla/bad.crt\n")
	r.deb("ca-certificates", "2", "", nil, file(folder+"same.crt", "same\n"), file(folder+"bad.crt", "bad\n"), file(folder+"new.crt", "new\n"))
	entries, texts, err := r.install(r.client(), []string{"ca-certificates"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := texts["/etc/ssl/certs/ca-certificates.crt"], "own\nnew\nsame\n"; got != want {
		t.Errorf("bundle %q, want %q", got, want)
	}
	if got, want := texts["/etc/ca-certificates.conf"], "# roots\n!mozilla/old.crt\nmozilla/same.crt\n!mozilla/bad.crt\nmozilla/new.crt\n"; got != want {
		t.Errorf("settings %q, want %q", got, want)
	}
	for name, want := range map[string]bool{"new.pem": true, "same.pem": true, "own.pem": true, "old.pem": false, "bad.pem": false} {
		if _, ok := entries["/etc/ssl/certs/"+name]; ok != want {
			t.Errorf("link %s: %t", name, ok)
		}
	}
}

// A newer ping is as capable as the one that it replaces.
func TestNewerPing(t *testing.T) {
	r := newDebian(t)
	r.set(statusPath, string(r.base[statusPath].Data)+"\nPackage: iputils-ping\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n")
	r.deb("iputils-ping", "2", "", map[string]string{"postinst": "#!/bin/sh\nprogram=$(which ping)\n"}, program("bin/ping", "x"))
	entries, _, err := r.install(r.client(), []string{"iputils-ping"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := entries["/bin/ping"].Mode; got != 0o4755 {
		t.Errorf("mode %o", got)
	}
}

// A companion (install_if) that another package excludes stays away, whichever of the
// two says so.
func TestExcludedCompanion(t *testing.T) {
	r := newAlpine(t)
	r.apk("tool", "1-r0", "", "D:!tool-doc\n", nil)
	r.apk("tool-doc", "1-r0", "", "i:tool=1-r0 busybox\n", nil)
	_, texts, err := r.install(r.client(), []string{"tool"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(texts["/lib/apk/db/installed"]); !slices.Equal(got, []string{"busybox", "tool"}) {
		t.Errorf("installed: %q", got)
	}
}
