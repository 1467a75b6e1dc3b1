package distro

import (
	"archive/tar"
	"strings"
	"testing"
)

// What is wrong with packages and repositories is an error that says what and
// where, and nothing is installed.
func TestBadInput(t *testing.T) {
	deb := func(f func(r *repository)) func(t *testing.T) *repository {
		return func(t *testing.T) *repository { r := newDebian(t); f(r); return r }
	}
	apk := func(f func(r *repository)) func(t *testing.T) *repository {
		return func(t *testing.T) *repository { r := newAlpine(t); f(r); return r }
	}
	header := func(h tar.Header) entry { return entry{Header: h} }
	for _, test := range []struct {
		name   string
		make   func(t *testing.T) *repository
		wanted string
		want   string
	}{
		{"unknown package", deb(func(r *repository) { r.deb("tool", "1", "", nil) }), "toll", `package toll: the base's repositories have no package of that name; did you mean tool?`},
		{"wrong version", deb(func(r *repository) { r.deb("tool", "1", "", nil) }), "tool=2", "package tool (= 2): the repositories have tool in 1"},
		{"no version fits", deb(func(r *repository) {
			r.deb("tool", "1", "Depends: lib (>= 2)\n", nil)
			r.deb("lib", "1", "", nil)
		}), "tool", "tool 1 -> lib (>= 2): the repositories have lib in 1"},
		{"missing below", deb(func(r *repository) {
			r.deb("tool", "1", "Depends: lib\n", nil)
			r.deb("lib", "1", "Depends: deep\n", nil)
		}), "tool", "tool 1 -> lib 1 -> deep: the repositories have no deep"},
		{"conflict", deb(func(r *repository) {
			r.deb("tool", "1", "Depends: a, b\n", nil)
			r.deb("a", "1", "", nil)
			r.deb("b", "1", "Conflicts: a\n", nil)
		}), "tool", "b 1 can't be installed together with a 1"},
		{"conflict with the base", deb(func(r *repository) { r.deb("tool", "1", "Breaks: old (<< 2)\n", nil) }), "tool", "can't be installed together with old 1.0, which the base has"},
		{"climbing path", deb(func(r *repository) { r.deb("tool", "1", "", nil, file("../../etc/evil", "x")) }), "tool", `package tool 1: data.tar.gz: path "../../etc/evil" has a .. in it`},
		{"device", deb(func(r *repository) {
			r.deb("tool", "1", "", nil, header(tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock}))
		}), "tool", "/dev/sda: is neither a file, a directory nor a link"},
		{"hard link outside", deb(func(r *repository) {
			r.deb("tool", "1", "", nil, header(tar.Header{Name: "usr/bin/x", Typeflag: tar.TypeLink, Linkname: "etc/shadow"}))
		}), "tool", "/usr/bin/x: is a hard link to /etc/shadow, which is not an earlier file of the package"},
		{"whiteout", deb(func(r *repository) { r.deb("tool", "1", "", nil, file("usr/.wh.bin", "")) }), "tool", "starts with .wh."},
		{"giant control", deb(func(r *repository) {
			r.deb("tool", "1", "", map[string]string{"postinst": "#" + strings.Repeat("x", maxControl)})
		}), "tool", "control.tar.gz: is too large"},
		{"two packages with one file", deb(func(r *repository) {
			r.deb("tool", "1", "Depends: other\n", nil, file("usr/bin/x", "1"))
			r.deb("other", "1", "", nil, file("usr/bin/x", "2"))
		}), "tool", "/usr/bin/x: is in package other 1, too"},
		{"a file of the base's", deb(func(r *repository) { r.deb("tool", "1", "", nil, file("usr/bin/old", "1")) }), "tool", "/usr/bin/old: is in package old 1.0, too"},
		{"script", deb(func(r *repository) {
			r.deb("tool", "1", "", map[string]string{"postinst": "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\tmkfs /dev/sda\nfi\n"})
		}), "tool", `package tool 1: its postinst script would run "mkfs /dev/sda"`},
		{"library outside", deb(func(r *repository) {
			r.deb("tool", "1", "", nil, file("etc/ld.so.conf.d/tool.conf", "# ours\n/lib/x86_64-linux-gnu/tool/\n"), file("usr/lib/x86_64-linux-gnu/tool/libtool.so.1", "x"), file("usr/lib/x86_64-linux-gnu/liba.so.1", "x"))
		}), "tool", `package tool 1: its triggers script would run "ldconfig, for /usr/lib/x86_64-linux-gnu/tool/libtool.so.1"`},
		{"other bytes", deb(func(r *repository) {
			r.deb("tool", "1", "", nil)
			r.files["/pool/tool_1.deb"] = append([]byte{}, append(r.files["/pool/tool_1.deb"], 'x')...)
		}), "tool", "/pool/tool_1.deb: "},
		{"gone", deb(func(r *repository) {
			r.deb("tool", "1", "", nil)
			delete(r.files, "/pool/tool_1.deb")
		}), "tool", "/pool/tool_1.deb: the server doesn't have it (any more)"},
		{"truncated index", deb(func(r *repository) {
			r.deb("tool", "1", "", nil)
			list := r.files["/dists/stable/main/binary-amd64/Packages"]
			r.files["/dists/stable/main/binary-amd64/Packages"] = list[:len(list)/2]
		}), "tool", "main/binary-amd64/Packages: "},
		{"unsigned", deb(func(r *repository) {
			r.deb("tool", "1", "", nil)
			r.set("etc/apt/sources.list", "deb "+r.url+" stable main\n")
		}), "tool", "the base has no keyring for "},
		{"no sources", deb(func(r *repository) { delete(r.base, "etc/apt/sources.list") }), "tool", "base: no apt source for amd64"},
		{"stale", deb(func(r *repository) {
			r.deb("tool", "1", "", nil)
			r.files["/dists/stable/InRelease"] = append([]byte("Valid-Until: Mon, 01 Jan 2001 00:00:00 UTC\n"), r.files["/dists/stable/InRelease"]...)
		}), "tool", "was valid until Mon, 01 Jan 2001 00:00:00 UTC"},

		{"apk: unknown package", apk(func(r *repository) { r.apk("tool", "1-r0", "", "", nil) }), "toll", "package toll: the base's repositories have no package of that name; did you mean tool?"},
		{"apk: no library", apk(func(r *repository) { r.apk("tool", "1-r0", "", "D:so:libx.so.1\n", nil) }), "tool", "tool 1-r0 -> so:libx.so.1: the repositories have no so:libx.so.1"},
		{"apk: conflict", apk(func(r *repository) { r.apk("tool", "1-r0", "", "D:!busybox\n", nil) }), "tool", "can't be installed together with busybox 1.36.1-r2, which the base has"},
		{"apk: unknown key", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil)
			delete(r.base, "etc/apk/keys/test.rsa.pub")
		}), "tool", "is signed by test.rsa.pub, which is not among the base's /etc/apk/keys"},
		{"apk: another index", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil)
			signed := r.files["/main/x86_64/APKINDEX.tar.gz"]
			r.files["/main/x86_64/APKINDEX.tar.gz"] = append(append([]byte{}, signed...), pack(t, true, file("APKINDEX", "P:evil\nV:1\n"))...)
		}), "tool", "its signature by test.rsa.pub is wrong"},
		{"apk: truncated index", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil)
			signed := r.files["/main/x86_64/APKINDEX.tar.gz"]
			r.files["/main/x86_64/APKINDEX.tar.gz"] = signed[:len(signed)-40]
		}), "tool", "its signature by test.rsa.pub is wrong"},
		{"apk: gone", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil)
			delete(r.files, "/main/x86_64/tool-1-r0.apk")
		}), "tool", "/main/x86_64/tool-1-r0.apk: the server doesn't have it (any more)"},
		{"apk: device", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil, header(tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock}))
		}), "tool", "/dev/sda: is neither a file, a directory nor a link"},
		{"apk: hard link outside", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil, header(tar.Header{Name: "usr/bin/x", Typeflag: tar.TypeLink, Linkname: "etc/shadow"}))
		}), "tool", "/usr/bin/x: is a hard link to /etc/shadow, which"},
		{"apk: other bytes", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", nil, file("usr/bin/x", "good"))
			was := r.files["/main/x86_64/tool-1-r0.apk"]
			r.files["/main/x86_64/tool-1-r0.apk"] = append(append([]byte{}, was...), pack(t, true, file("usr/bin/y", "bad"))...)
		}), "tool", "its data are not what its .PKGINFO says"},
		{"apk: climbing path", apk(func(r *repository) { r.apk("tool", "1-r0", "", "", nil, file("../evil", "x")) }), "tool", `path "../evil" has a .. in it`},
		{"apk: script", apk(func(r *repository) {
			r.apk("tool", "1-r0", "", "", map[string]string{".post-install": "#!/bin/sh\nmodprobe tun\n"})
		}), "tool", `package tool 1-r0: its post-install script would run "modprobe tun"`},
		{"apk: a file of the base's", apk(func(r *repository) { r.apk("tool", "1-r0", "", "", nil, file("bin/busybox", "x")) }), "tool", "/bin/busybox: is in package busybox 1.36.1-r2, too"},
		{"no package manager", func(t *testing.T) *repository { return newRepository(t) }, "tool", "there is no known package manager"},
		{"distroless", func(t *testing.T) *repository {
			r := newRepository(t)
			r.set("var/lib/dpkg/status.d/base-files", "x")
			return r
		}, "tool", "no package manager, as distroless images do"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.make(t)
			_, _, err := r.install(r.client(), []string{test.wanted}, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
