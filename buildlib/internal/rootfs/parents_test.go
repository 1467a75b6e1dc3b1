package rootfs

import (
	"archive/tar"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// Each layer has the folders above its entries as they are below: in the base,
// or in an earlier layer of the image.
func TestLayersHoldParents(t *testing.T) {
	dir := project(t, map[string]string{"a": "x"})
	at := func(p string) File { return File{Source: filepath.Join(dir, "a"), Path: p, Root: dir} }
	bin := func(p string) []Executable { return []Executable{executable(t, p, []byte("x"))} }
	base := debianTree()
	base.Nodes["/var/lib/secret/deep"] = filetree.Node{Type: tar.TypeDir, Mode: 0o2770, UID: 1, GID: 2}
	for name, c := range map[string]struct {
		spec Spec
		want [][]string // our layers
	}{
		"the base's": {
			Spec{Base: base, Files: []File{at("/tmp/a"), at("/var/lib/secret/deep/new/a")}},
			[][]string{{
				"5 1777 0:0 tmp/", "0 0644 0:0 tmp/a",
				"5 0755 0:0 var/", "5 0755 0:0 var/lib/", "5 0700 7:8 var/lib/secret/", "5 2770 1:2 var/lib/secret/deep/",
				"5 0755 0:0 var/lib/secret/deep/new/", "0 0644 0:0 var/lib/secret/deep/new/a",
			}},
		},
		"behind the base's links": {
			Spec{Base: base, Files: []File{at("/bin/a"), at("/var/run/x/a")}},
			[][]string{{
				"5 0755 0:0 run/", "5 0755 0:0 run/x/", "0 0644 0:0 run/x/a",
				"5 0755 0:0 usr/", "5 0755 0:0 usr/bin/", "0 0644 0:0 usr/bin/a",
			}},
		},
		"those of an earlier layer": {
			Spec{Base: base, Files: []File{{Path: "/opt/x", Mode: 0o750, UID: 5, GID: 6}}, Binaries: bin("/opt/x/y/app")},
			[][]string{{
				"5 0755 0:0 opt/", "5 0750 5:6 opt/x/",
			}, {
				"5 0755 0:0 opt/", "5 0750 5:6 opt/x/", "5 0755 0:0 opt/x/y/", "0 0755 0:0 opt/x/y/app",
			}},
		},
		"those that an earlier layer changes": {
			Spec{Base: base, Files: []File{at("/tmp/a"), {Path: "/tmp", Mode: 0o700}}, Binaries: bin("/tmp/app")},
			[][]string{{
				"5 0700 0:0 tmp/", "0 0644 0:0 tmp/a",
			}, {
				"5 0700 0:0 tmp/", "0 0755 0:0 tmp/app",
			}},
		},
		"on scratch": {
			Spec{User: User{UID: 7}, Files: []File{at("/tmp/a")}, Binaries: bin("/tmp/b/app")},
			[][]string{{
				"5 0755 0:0 etc/", "0 0644 0:0 etc/group", "0 0644 0:0 etc/passwd", "5 1777 0:0 tmp/",
			}, {
				"5 1777 0:0 tmp/", "0 0644 0:0 tmp/a",
			}, {
				"5 1777 0:0 tmp/", "5 0755 0:0 tmp/b/", "0 0755 0:0 tmp/b/app",
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := listing(t, mustBuild(t, newBuilder(t), c.spec))
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

// A binary's layer is another one where the folders above it are others.
func TestParentsAreInTheKey(t *testing.T) {
	other := debianTree()
	other.Nodes["/usr/local/bin"] = filetree.Node{Type: tar.TypeDir, Mode: 0o2775, GID: 50}
	a, bin := newBuilder(t), []Executable{executable(t, "/usr/local/bin/app", []byte("x"))}
	layerOf := func(tree *filetree.Tree) []string {
		return listing(t, mustBuild(t, a, Spec{Base: tree, Binaries: bin}))[0]
	}
	layerOf(debianTree())
	want := []string{"5 0755 0:0 usr/", "5 0755 0:0 usr/local/", "5 2775 0:50 usr/local/bin/", "0 0755 0:0 usr/local/bin/app"}
	if got := layerOf(other); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParentsKeepExtendedAttributes(t *testing.T) {
	acl := map[string]string{"system.posix_acl_default": "\x02\x00\x00\x00\x01\x00\x07\x00"}
	tree := debianTree()
	tree.Nodes["/tmp"] = filetree.Node{Type: tar.TypeDir, Mode: 0o1777, Xattrs: acl}
	dir := project(t, map[string]string{"a": "x"})
	img := mustBuild(t, newBuilder(t), Spec{Base: tree, Files: []File{{Source: filepath.Join(dir, "a"), Path: "/tmp/a", Root: dir}}})
	layers := img.Layers
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, err := tar.NewReader(r).Next()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{filetree.XattrPrefix + "system.posix_acl_default": acl["system.posix_acl_default"]}
	if h.Name != "tmp/" || !maps.Equal(h.PAXRecords, want) {
		t.Errorf("got %s %q, want tmp/ %q", h.Name, h.PAXRecords, want)
	}
}

// The folders made for the image's user to write in are that user's, also in
// the layers above; the base's stay as they are.
func TestWorkDirAndVolumesBelongToTheUser(t *testing.T) {
	for name, c := range map[string]struct {
		spec Spec
		want []string
	}{
		"on scratch": {
			Spec{WorkDir: "/app/work", Volumes: []string{"/app", "/tmp", "/etc/x"}},
			[]string{
				"5 0755 0:0 etc/", "0 0644 0:0 etc/group", "0 0644 0:0 etc/passwd", "5 0755 65532:65532 etc/x/",
				"5 0755 0:0 home/", "5 0755 65532:65532 home/nonroot/", "5 1777 0:0 tmp/",
				"5 0755 65532:65532 app/", "5 0755 65532:65532 app/work/",
			},
		},
		"on a base, as its user": {
			Spec{User: User{Name: "www-data"}, WorkDir: "/srv", Volumes: []string{"/var/run/x", "/var/lib/secret"}},
			[]string{"5 0755 0:0 run/", "5 0755 33:33 run/x/", "5 0755 33:33 srv/"},
		},
		"on a base, as root": {Spec{Volumes: []string{"/data"}}, []string{"5 0755 0:0 data/"}},
		"on a base, by number": {
			Spec{User: User{UID: 5, GID: 6}, Volumes: []string{"/data/deep"}}, []string{"5 0755 0:0 data/", "5 0755 5:6 data/deep/"},
		},
		"all there": {Spec{User: User{UID: 5}, WorkDir: "/tmp", Volumes: []string{"/home", "/"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "on scratch" {
				c.spec.Base = debianTree()
			}
			var got []string
			if layers := listing(t, mustBuild(t, newBuilder(t), c.spec)); len(layers) > 0 {
				got = layers[0]
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
	img := mustBuild(t, newBuilder(t), Spec{WorkDir: "/srv/app", Binaries: []Executable{executable(t, "/srv/app/bin/app", []byte("x"))}})
	want := []string{"5 0755 0:0 srv/", "5 0755 65532:65532 srv/app/", "5 0755 0:0 srv/app/bin/", "0 0755 0:0 srv/app/bin/app"}
	if got := listing(t, img)[1]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A passwd of the user's own may not have what a UID alone relies on.
func TestOwnAccountsFileKeepsTheGroup(t *testing.T) {
	dir := project(t, map[string]string{"passwd": "x"})
	s := Spec{Base: grouped(), BaseUser: "app"}
	if got := mustBuild(t, newBuilder(t), s).User; got != "1001" {
		t.Errorf("user %q, want 1001", got)
	}
	s.Files = []File{{Source: filepath.Join(dir, "passwd"), Path: "/etc/passwd", Root: dir}}
	if got := mustBuild(t, newBuilder(t), s).User; got != "1001:1002" {
		t.Errorf("user %q, want 1001:1002", got)
	}
}
