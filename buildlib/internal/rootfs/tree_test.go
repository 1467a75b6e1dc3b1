package rootfs

import (
	"archive/tar"
	"io"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// What Packages bring is in the tree that all layers leave.
func TestTreeHasPackages(t *testing.T) {
	const loader = "/lib64/ld-linux-x86-64.so.2"
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
	made := mustBuild(t, newBuilder(t), Spec{Packages: []Entry{
		{Path: "/usr/lib64", Type: tar.TypeDir, Mode: 0o755},
		{Path: "/lib64", Type: tar.TypeSymlink, Mode: 0o777, Link: "usr/lib64"},
		{Path: "/usr/lib64/ld-2.so", Type: tar.TypeReg, Mode: 0o755, Size: 1, Digest: testenv.SHA256([]byte("x")), Open: open},
		{Path: "/usr/lib64/ld-linux-x86-64.so.2", Type: tar.TypeSymlink, Mode: 0o777, Link: "ld-2.so"},
	}})
	if at, n, ok := made.Tree.Lookup(loader); !ok || n.Type != tar.TypeReg || at != "/usr/lib64/ld-2.so" {
		t.Errorf("%s is %s, %+v, %v", loader, at, n, ok)
	}
}

// A package's hard link may name another: all are names of the file.
func TestHardLinksToHardLinks(t *testing.T) {
	entries := []Entry{{Path: "/m", Type: tar.TypeReg, Mode: 0o755, Size: 1, Digest: testenv.SHA256([]byte("x")), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("x")), nil
	}}}
	last := "/m"
	for _, name := range []string{"/z", "/a", "/y", "/b", "/x", "/c"} {
		entries = append(entries, Entry{Path: name, Type: tar.TypeLink, Mode: 0o755, Link: last})
		last = name
	}
	made := mustBuild(t, newBuilder(t), Spec{Packages: entries})
	if got := contentOf(t, made, "/a"); got != "x" {
		t.Errorf("/a holds %q", got)
	}
	for _, name := range []string{"/b", "/c", "/m", "/x", "/y", "/z"} {
		if n, ok := made.Tree.Node(name); !ok || n.Type != tar.TypeReg {
			t.Errorf("%s: %+v, %v", name, n, ok)
		}
	}
	loop := []Entry{{Path: "/a", Type: tar.TypeLink, Link: "/b"}, {Path: "/b", Type: tar.TypeLink, Link: "/a"}}
	buildError(t, newBuilder(t), Spec{Packages: loop}, "is a hard link to", "which isn't there")
}
