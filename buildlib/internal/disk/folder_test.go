package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMakeFolder(t *testing.T) {
	// The root is the user's: it may be a link.
	real := t.TempDir()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Symlink(real, root); err != nil {
		t.Skip(err)
	}
	for range 2 {
		path, err := MakeFolder(root, filepath.Join("a", "b"))
		if err != nil || path != filepath.Join(root, "a", "b") {
			t.Fatalf("made %q, %v", path, err)
		}
		if err := CheckFolder(path); err != nil {
			t.Fatal(err)
		}
	}
	outside := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"is a symbolic link": func(path string) error { return os.Symlink(outside, path) },
		"is not a folder":    func(path string) error { return os.WriteFile(path, nil, 0o644) },
	} {
		for _, at := range []string{"x", filepath.Join("a", "x")} {
			path := filepath.Join(root, at)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			_, err := MakeFolder(root, filepath.Join(at, "c"))
			if err == nil || !strings.Contains(err.Error(), path+" "+name) {
				t.Errorf("error %v, want one that says that %s %s", err, path, name)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := entries(t, outside); len(got) > 0 {
		t.Errorf("made %q where a link leads", got)
	}
}

func TestLockFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "lock")
	for _, there := range []bool{true, false} {
		if there {
			write(t, victim, "precious")
		} else if err := os.Remove(victim); err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := os.Symlink(victim, path); err != nil {
			t.Skip(err)
		}
		if _, err := TryLock(path, "me"); err == nil || !strings.Contains(err.Error(), path+" should be a lock file but is a symbolic link") {
			t.Errorf("error %v, want one that names the link", err)
		}
		if _, err := os.Stat(victim); (err == nil) != there {
			t.Errorf("the link's target is there: %v", err)
		} else if there && content(t, victim) != "precious" {
			t.Errorf("the link's target holds %q", content(t, victim))
		}
	}
	// Refused is not locked.
	os.Remove(path)
	l, err := TryLock(path, "me")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// What can't be swept is in nobody's way.
func TestScratchLeavesWhatItCannotSweep(t *testing.T) {
	parent := t.TempDir()
	write(t, filepath.Join(parent, "lock"), "")
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	write(t, victim, "precious")
	if err := os.Mkdir(filepath.Join(parent, "run-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(parent, "run-1.lock")); err != nil {
		t.Skip(err)
	}
	newScratch(t, parent)
	if got := content(t, victim); got != "precious" {
		t.Errorf("a link's target holds %q", got)
	}
	if err := os.Symlink(outside, filepath.Join(outside, "tmp")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewScratch(t.Context(), filepath.Join(outside, "tmp")); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("error %v, want one that names the link", err)
	}
}
