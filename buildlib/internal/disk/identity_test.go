package disk

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Name, size and modification time alone may not show these changes.
func TestIdentityNoticesChanges(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skipf("%s has no change times: nothing is ever the same", runtime.GOOS)
	}
	restore := func(t *testing.T, path string, at time.Time) {
		t.Helper()
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name     string
		change   func(t *testing.T, path string, was time.Time)
		same     bool // untouched
		sameFile bool // one file of one size
	}{
		{"read", func(t *testing.T, path string, _ time.Time) { content(t, path) }, true, true},
		{"byte flipped, time restored", func(t *testing.T, path string, was time.Time) {
			flip(t, path)
			restore(t, path, was)
		}, false, true},
		{"truncated, time restored", func(t *testing.T, path string, was time.Time) {
			if err := os.Truncate(path, 3); err != nil {
				t.Fatal(err)
			}
			restore(t, path, was)
		}, false, false},
		{"replaced by an equal file, time restored", func(t *testing.T, path string, was time.Time) {
			if err := os.Rename(path, path+".old"); err != nil { // keeps its inode in use
				t.Fatal(err)
			}
			write(t, path, "content")
			restore(t, path, was)
		}, false, false},
		{"touched", func(t *testing.T, path string, was time.Time) { restore(t, path, was.Add(time.Hour)) }, false, true},
		{"linked", func(t *testing.T, path string, _ time.Time) {
			if err := os.Link(path, path+".link"); err != nil {
				t.Fatal(err)
			}
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "content")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			before, err := Identify(path)
			if err != nil {
				t.Fatal(err)
			}
			tick(t)
			tt.change(t, path, info.ModTime())
			after, err := Identify(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := after.Same(before); got != tt.same {
				t.Errorf("Same is %v, want %v\nbefore %+v\nafter  %+v", got, tt.same, before, after)
			}
			if got := after.SameFile(before); got != tt.sameFile {
				t.Errorf("SameFile is %v, want %v\nbefore %+v\nafter  %+v", got, tt.sameFile, before, after)
			}
		})
	}
}

// tick waits until the kernel's coarse clock, which stamps files, has moved.
func tick(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tick")
	write(t, path, "")
	first, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		write(t, path, "")
		now, err := Identify(path)
		if err != nil {
			t.Fatal(err)
		}
		if now.Modified != first.Modified {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, 2); err != nil {
		t.Fatal(err)
	}
}

func TestIdentifyWantsARegularFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	write(t, filepath.Join(dir, "file"), "content")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		filepath.Join(dir, "none"): os.ErrNotExist,
		dir:                        os.ErrInvalid,
		link:                       os.ErrInvalid,
	} {
		if _, err := Identify(path); !errors.Is(err, want) {
			t.Errorf("Identify(%s): %v, want %v", path, err, want)
		}
	}
}

func TestZeroIdentityIsNobodys(t *testing.T) {
	var a, b Identity
	if a.Same(b) || a.SameFile(b) {
		t.Error("two zero identities are the same: a missing record would vouch for any file")
	}
}
