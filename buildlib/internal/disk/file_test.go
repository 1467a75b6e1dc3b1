package disk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// write makes a file for a test to work on.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// entries are the names in a folder, to see that nothing is left over.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteMakesParentsAndSetsMode(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "a", "b", "file")
	if err := WriteBytes(path, tmp, 0o444, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "new" {
		t.Errorf("content %q, want new", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o444 {
		t.Errorf("mode %v, want 0444", info.Mode().Perm())
	}
	if left := entries(t, tmp); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

// A reader that has the old file open must go on reading the old one: the new
// one is another file, not the old one's bytes overwritten.
func TestWriteReplacesInOneStep(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "old")
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := WriteBytes(path, tmp, 0o644, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if old, err := io.ReadAll(reader); err != nil || string(old) != "old" {
		t.Errorf("who had opened the old file reads %q, %v", old, err)
	}
	if got := content(t, path); got != "new" {
		t.Errorf("content %q, want new", got)
	}
}

func TestWriteFailsWhole(t *testing.T) {
	full := errors.New("no space left on device")
	for _, tt := range []struct {
		name string
		old  string // empty: no file was there
	}{
		{"over an old file", "old"},
		{"where none was", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, tmp := t.TempDir(), t.TempDir()
			path := filepath.Join(dir, "file")
			if tt.old != "" {
				write(t, path, tt.old)
			}
			err := Write(path, tmp, 0o644, func(w io.Writer) error {
				if _, err := io.WriteString(w, "half of it"); err != nil {
					return err
				}
				return full
			})
			if !errors.Is(err, full) {
				t.Errorf("error %v, want that of fill", err)
			}
			if tt.old == "" {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("half a file appeared: %v", err)
				}
			} else if got := content(t, path); got != tt.old {
				t.Errorf("content %q, want the old one", got)
			}
			if left := entries(t, tmp); len(left) > 0 {
				t.Errorf("temporary files left: %q", left)
			}
		})
	}
}

func TestLink(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, src, dst string)
	}{
		{"where nothing was", func(*testing.T, string, string) {}},
		{"over another file", func(t *testing.T, _, dst string) { write(t, dst, "another") }},
		// rename(2) does nothing when both names are one file already.
		{"over a link to the same file", func(t *testing.T, src, dst string) {
			if err := os.Link(src, dst); err != nil {
				t.Fatal(err)
			}
		}},
		{"over a symbolic link", func(t *testing.T, _, dst string) {
			if err := os.Symlink("/nowhere", dst); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, tmp := t.TempDir(), t.TempDir()
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			write(t, src, "content")
			tt.prepare(t, src, dst)
			if err := Link(t.Context(), src, dst, tmp, v1.Hash{}); err != nil {
				t.Fatal(err)
			}
			if !Same(src, dst) {
				t.Error("dst is not the file src")
			}
			if got := content(t, dst); got != "content" {
				t.Errorf("content %q", got)
			}
			if left := entries(t, tmp); len(left) > 0 {
				t.Errorf("temporary files left: %q", left)
			}
		})
	}
}

func TestLinkMissingSource(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	dst := filepath.Join(dir, "dst")
	write(t, dst, "old")
	if err := Link(t.Context(), filepath.Join(dir, "none"), dst, tmp, v1.Hash{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that says it is not there", err)
	}
	if got := content(t, dst); got != "old" {
		t.Errorf("dst is %q now, want the old one", got)
	}
	if left := entries(t, tmp); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

// The cache may be on another file system than the output folder.
func TestLinkAcrossDevices(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	other := otherDevice(t, dir)
	src, dst := filepath.Join(other, "src"), filepath.Join(dir, "dst")
	write(t, src, "content")
	if err := os.Chmod(src, 0o555); err != nil {
		t.Fatal(err)
	}
	write(t, dst, "old")
	if err := Link(t.Context(), src, dst, tmp, v1.Hash{}); err != nil {
		t.Fatal(err)
	}
	if Same(src, dst) {
		t.Fatal("the two are one file: not on two devices")
	}
	if got := content(t, dst); got != "content" {
		t.Errorf("content %q", got)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("the copy has mode %v, %v, want that of the source", info.Mode(), err)
	}
	if left := entries(t, tmp); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

// A copy reads all the bytes, so it is the time to see that they are right.
func TestCopyIsChecked(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	other := otherDevice(t, dir)
	src, dst := filepath.Join(other, "src"), filepath.Join(dir, "dst")
	write(t, src, "content")
	want, err := SHA256(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if err := Link(t.Context(), src, dst, tmp, want); err != nil {
		t.Fatal(err)
	}
	write(t, src, "c0ntent")
	if err := Link(t.Context(), src, dst, tmp, want); !errors.Is(err, ErrContent) {
		t.Errorf("error %v, want ErrContent", err)
	}
	if got := content(t, dst); got != "content" {
		t.Errorf("dst is %q now, want what it was", got)
	}
	if left := entries(t, tmp); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "content")
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := SHA256(ctx, path); !errors.Is(err, why) {
		t.Errorf("error %v, want the context's cause", err)
	}
}

// otherDevice returns a folder on another file system than dir, or skips.
func otherDevice(t *testing.T, dir string) string {
	t.Helper()
	other, err := os.MkdirTemp("/dev/shm", "multimage-test-")
	if err != nil {
		t.Skipf("needs a second file system: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	a, b := filepath.Join(dir, "probe"), filepath.Join(other, "probe")
	write(t, a, "")
	write(t, b, "")
	x, err := Identify(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := Identify(b)
	if err != nil {
		t.Fatal(err)
	}
	if x.Device == y.Device {
		t.Skip("needs a second file system: /dev/shm is on the temporary folder's")
	}
	return other
}

// A folder where a file should be is named, and kept.
func TestFolderInTheWay(t *testing.T) {
	dir := t.TempDir()
	way := filepath.Join(dir, "file")
	if err := os.Mkdir(way, 0o755); err != nil {
		t.Fatal(err)
	}
	err := WriteBytes(way, dir, 0o644, []byte("x"))
	if want := way + " is a folder where a file of multimage's should be: move it away"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left %q", left)
	}
}
