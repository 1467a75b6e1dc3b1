package modcache

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestFullDisk: where there is no room for a module nothing of it stays, so that go
// fetches it; with room again it is put there.
func TestFullDisk(t *testing.T) {
	from, sums := fetched(t)
	dir := t.TempDir()
	mount := func(options string) {
		t.Helper()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "multimage-test", dir).CombinedOutput(); err != nil {
			testenv.Missing(t, "tmpfs", "can't mount one (needs root): "+string(out))
		}
	}
	mount("size=16k") // folders take nothing of it, files a page each
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	to := Folder{Path: dir, Writable: true}
	full := false
	for _, s := range sums {
		if err := to.Put(s, bytes.NewReader(written(t, from, s))); errors.Is(err, syscall.ENOSPC) {
			full = true
			if to.Has(s) {
				t.Errorf("%v is there, and had no room", s)
			}
			if left, _ := filepath.Glob(to.dir(s) + ".tmp-*"); len(left) > 0 {
				t.Errorf("%v left %q", s, left)
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !full {
		t.Fatal("the disk wasn't full")
	}
	mount("remount,size=20m")
	for _, s := range sums {
		if err := to.Put(s, bytes.NewReader(written(t, from, s))); err != nil || !to.Has(s) {
			t.Errorf("with room again: %v: %v", s, err)
		}
	}
}

// TestPutAtOnce: several runs put the same modules into one folder.
func TestPutAtOnce(t *testing.T) {
	from, sums := fetched(t)
	to := folder(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for _, s := range sums {
				var b bytes.Buffer
				err := from.Write(s, &b)
				if err == nil {
					err = to.Put(s, &b)
				}
				if err != nil {
					t.Errorf("%v: %v", s, err)
				}
			}
		})
	}
	wait.Wait()
	for _, s := range sums {
		if !to.Has(s) {
			t.Errorf("%v isn't there", s)
		}
	}
	want, got := contents(t, from), contents(t, to)
	for name, is := range want {
		if got[name] != is {
			t.Errorf("%s is %q, and go made it %q", name, got[name], is)
		}
	}
}
