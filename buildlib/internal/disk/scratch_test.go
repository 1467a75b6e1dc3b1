package disk

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func newScratch(t *testing.T, parent string) *Scratch {
	t.Helper()
	s, err := NewScratch(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScratchSweepsTheDeadOnly(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "not", "yet", "there")
	dead, kill := other(t, "scratch", parent)
	alive, _ := other(t, "scratch", parent)

	first := newScratch(t, parent)
	for _, dir := range []string{dead, alive} {
		if got := content(t, filepath.Join(dir, "half")); got != "written" {
			t.Errorf("the file of a living process is %q", got)
		}
	}
	kill()
	second := newScratch(t, parent)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the folder of a killed process is still there: %v", err)
	}
	if _, err := os.Stat(lockPath(dead)); !os.IsNotExist(err) {
		t.Errorf("the lock of a killed process is still there: %v", err)
	}
	for _, dir := range []string{alive, first.Dir, second.Dir} {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("the folder of a living one was swept: %v", err)
		}
	}
}

func TestScratchRemoveLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	s := newScratch(t, parent)
	write(t, filepath.Join(s.Dir, "file"), "content")
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, parent); !slices.Equal(got, []string{"lock"}) {
		t.Errorf("left %q, want the common lock only", got)
	}
}

// A process may be killed between removing its folder and its lock.
func TestScratchSweepsLocksAlone(t *testing.T) {
	parent := t.TempDir()
	write(t, filepath.Join(parent, "run-1.lock"), "process 1\n")
	s := newScratch(t, parent)
	if got, want := entries(t, parent), []string{"lock", filepath.Base(s.Dir), filepath.Base(lockPath(s.Dir))}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

// A folder that isn't one of ours is nobody's to sweep.
func TestScratchKeepsStrangers(t *testing.T) {
	parent := t.TempDir()
	if err := os.Mkdir(filepath.Join(parent, "kept"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(parent, "run-notes"), "a file")
	newScratch(t, parent)
	got := entries(t, parent)
	for _, name := range []string{"kept", "run-notes"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s was swept: left %q", name, got)
		}
	}
}

// Runs that share a cache begin and end at the same time: one that sweeps must
// not trip over another that is just removing its folder, nor the other way
// round.
func TestScratchesComeAndGo(t *testing.T) {
	parent := t.TempDir()
	ending := make([]*Scratch, 100)
	for i := range ending {
		ending[i] = newScratch(t, parent)
	}
	var all sync.WaitGroup
	done := make(chan struct{})
	all.Go(func() {
		defer close(done)
		for _, s := range ending {
			if err := s.Remove(); err != nil {
				t.Errorf("removing one: %v", err)
			}
		}
	})
	all.Go(func() {
		for {
			s, err := NewScratch(context.Background(), parent)
			if err != nil {
				t.Errorf("making one: %v", err)
				return
			}
			if err := os.WriteFile(filepath.Join(s.Dir, "file"), nil, 0o644); err != nil {
				t.Errorf("a living one was swept: %v", err)
			}
			if err := s.Remove(); err != nil {
				t.Errorf("removing one: %v", err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	all.Wait()
	if got := entries(t, parent); !slices.Equal(got, []string{"lock"}) {
		t.Errorf("left %q, want the common lock only", got)
	}
}
