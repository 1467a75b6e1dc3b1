package filetree

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// What Unpack writes is what the layers leave, and nothing outside of dir.
func TestUnpack(t *testing.T) {
	outside := t.TempDir()
	layers := []v1.Layer{
		testenv.Layer(t,
			testenv.Dir("bin/", 0o755), testenv.File("bin/tool", 0o4755, "old"), testenv.File("bin/gone", 0o755, "x"),
			testenv.Dir("locked/", 0o555), testenv.File("locked/file", 0o444, "locked"),
			testenv.Dir("opaque/", 0o755), testenv.File("opaque/old", 0o644, "x"),
			testenv.Symlink("sbin", "/bin"), testenv.Symlink("out", outside),
			testenv.File("first", 0o600, "linked"), testenv.HardLink("second", "first")),
		testenv.Layer(t,
			testenv.File("sbin/tool", 0o755, "new"), testenv.File("bin/.wh.gone", 0o644, ""),
			testenv.File("opaque/.wh..wh..opq", 0o644, ""), testenv.File("opaque/new", 0o644, "y"),
			testenv.File("out/file", 0o644, "inside"), testenv.HardLink("third", "second")),
	}
	var diffIDs []v1.Hash
	for _, l := range layers {
		h, err := l.DiffID()
		if err != nil {
			t.Fatal(err)
		}
		diffIDs = append(diffIDs, h)
	}
	dir := t.TempDir()
	if _, err := Unpack(t.Context(), diffIDs, func(i int) (io.ReadCloser, error) { return layers[i].Compressed() }, dir, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bin/tool": "new", "locked/file": "locked", "opaque/new": "y", "first": "linked", "second": "linked", "third": "linked",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s: %q, want %q (%v)", name, got, want, err)
		}
	}
	for _, name := range []string{"bin/gone", "opaque/old", "bin/.wh.gone"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	modes := map[string]fs.FileMode{"bin/tool": 0o755, "locked": fs.ModeDir | 0o755, "first": 0o600}
	for name, want := range modes {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	one, _ := os.Stat(filepath.Join(dir, "first"))
	if other, err := os.Stat(filepath.Join(dir, "third")); err != nil || !os.SameFile(one, other) {
		t.Errorf("third is not first (%v)", err)
	}
	// As root, files get what they have in containers.
	owned, set := t.TempDir(), map[string]Node{}
	own := func(path string, n Node) error {
		rel, err := filepath.Rel(owned, path)
		set[rel] = n
		return err
	}
	if _, err := Unpack(t.Context(), diffIDs[:1], func(i int) (io.ReadCloser, error) { return layers[i].Compressed() }, owned, own); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(owned, "bin/tool")); err != nil || info.Mode() != fs.ModeSetuid|0o755 {
		t.Errorf("bin/tool: %v %v", info.Mode(), err)
	}
	if n := set["sbin"]; n.Type != tar.TypeSymlink {
		t.Errorf("sbin: %+v", n)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("outside: %v %v", list, err)
	}
}
