package filetree

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"
)

func treeOf(links map[string]string, paths ...string) *Tree {
	t := &Tree{Nodes: map[string]Node{}, Files: map[string][]byte{}}
	for _, p := range paths {
		n := Node{Type: tar.TypeReg}
		if name, ok := strings.CutSuffix(p, "/"); ok {
			p, n.Type = name, tar.TypeDir
		}
		t.Nodes[p] = n
	}
	for p, target := range links {
		t.Nodes[p] = Node{Type: tar.TypeSymlink, Link: target}
	}
	return t
}

func TestTreeResolve(t *testing.T) {
	merged := treeOf(map[string]string{
		"/bin": "usr/bin", "/var/run": "/run", "/usr/bin/sh": "dash", "/loop": "pool", "/pool": "loop",
		"/climb": "../../../usr", "/usr/up": "..", "/self": ".",
	}, "/usr/", "/usr/bin/", "/usr/bin/dash", "/var/", "/run/")
	for _, tt := range []struct {
		tree          *Tree
		path          string
		resolved, err string
		lookup        string // "" if nothing is there
	}{
		{merged, "/", "/", "", "/"},
		{merged, "/usr/bin/dash", "/usr/bin/dash", "", "/usr/bin/dash"},
		{merged, "/bin/sh", "/usr/bin/sh", "", "/usr/bin/dash"},
		{merged, "/bin", "/bin", "", "/usr/bin"},
		{merged, "/bin/", "/bin", "", "/usr/bin"},
		{merged, "bin/new", "/usr/bin/new", "", ""},
		{merged, "/var/run/x/y", "/run/x/y", "", ""},
		{merged, "/climb/bin/sh", "/usr/bin/sh", "", "/usr/bin/dash"},
		{merged, "/usr/up/run", "/run", "", "/run"},
		{merged, "/self/self/run", "/run", "", "/run"},
		{merged, "/bin/../lib", "/usr/lib", "", ""},
		{merged, "/new/folder", "/new/folder", "", ""},
		{merged, "/loop", "/loop", "", ""},
		{merged, "/loop/x", "", "/loop/x: too many levels of symbolic links", ""},
		{merged, "/bin/dash/x", "", "/bin/dash/x: /usr/bin/dash is not a directory in the base", ""},
		{&Tree{}, "/usr/local/bin/app", "/usr/local/bin/app", "", ""},
		{&Tree{}, "/", "/", "", "/"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			got, err := tt.tree.Resolve(tt.path)
			if fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
				t.Errorf("Resolve: got error %v, want %q", err, tt.err)
			}
			if got != tt.resolved {
				t.Errorf("Resolve: got %q, want %q", got, tt.resolved)
			}
			got, _, ok := tt.tree.Lookup(tt.path)
			if ok != (tt.lookup != "") || ok && got != tt.lookup {
				t.Errorf("Lookup: got %q, %v, want %q", got, ok, tt.lookup)
			}
		})
	}
}

func TestTreeFile(t *testing.T) {
	tree := treeOf(map[string]string{"/etc/passwd": "../usr/passwd", "/etc/group": "nothing"}, "/etc/", "/usr/", "/usr/passwd")
	tree.Files["/usr/passwd"] = []byte("root")
	if data, ok := tree.File("/etc/passwd"); !ok || string(data) != "root" {
		t.Errorf("got %q, %v", data, ok)
	}
	for _, p := range []string{"/etc/group", "/etc/shadow", "/etc"} {
		if data, ok := tree.File(p); ok {
			t.Errorf("%s: got %q", p, data)
		}
	}
	if _, ok := (&Tree{}).File("/etc/passwd"); ok {
		t.Error("the empty tree has a file")
	}
}
