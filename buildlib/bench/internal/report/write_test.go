package report

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		all[e.Name()] = string(data)
	}
	return all
}

func TestWrite(t *testing.T) {
	dir, scratch := filepath.Join(t.TempDir(), "dist", "bench"), t.TempDir()
	for _, n := range []int{1, 3} {
		r := complete(n)
		c, err := Compare(r.Record("bench.json"), r.Record("this run"), -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Write(dir, scratch, c); err != nil {
			t.Fatal(err)
		}
		got := contents(t, dir)
		for name, want := range map[string][]byte{"bench.txt": r.Text(), "bench.json": jsonOf(t, r), "report.md": r.Markdown(c), "chart.svg": r.Chart()} {
			if got[name] != string(want) {
				t.Errorf("%s isn't what it should be", name)
			}
		}
		if len(got) != 4 {
			t.Errorf("%d files", len(got))
		}
		if !strings.Contains(got["report.md"], "## Against the baseline\n\n```text\nagainst bench.json (v1.2.0") {
			t.Errorf("report.md has no comparison:\n%s", got["report.md"])
		}
		// What was measured can be read back.
		if _, err := Read(filepath.Join(dir, "bench.txt")); err != nil {
			t.Error(err)
		}
		if left := contents(t, scratch); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Whatever goes wrong, and whenever, the earlier files stay together.
func TestWriteFails(t *testing.T) {
	for _, blocked := range []string{"bench.txt", "report.md", "chart.svg", "bench.json"} {
		for _, before := range []bool{true, false} {
			t.Run(blocked, func(t *testing.T) {
				dir, scratch := t.TempDir(), t.TempDir()
				if before {
					if err := complete(1).Write(dir, scratch, nil); err != nil {
						t.Fatal(err)
					}
				}
				// A folder that isn't empty is in the way of a file.
				path := filepath.Join(dir, blocked)
				os.Remove(path)
				if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
					t.Fatal(err)
				}
				want := contents(t, dir)
				err := complete(3).Write(dir, scratch, nil)
				if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), blocked) {
					t.Errorf("error %v, want one that names %s", err, path)
				}
				if got := contents(t, dir); !maps.Equal(got, want) {
					t.Errorf("the files aren't as before: %d, were %d", len(got), len(want))
				}
				if left := contents(t, scratch); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// A move that fails between others takes them back. What can be read and
// copied, but not replaced, is a mount point.
func TestWriteTakesBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs bind mounts")
	}
	for _, first := range []bool{true, false} {
		for _, blocked := range []string{"bench.txt", "report.md", "chart.svg", "bench.json"} {
			t.Run(blocked, func(t *testing.T) {
				dir, scratch := t.TempDir(), t.TempDir()
				if !first {
					if err := complete(1).Write(dir, scratch, nil); err != nil {
						t.Fatal(err)
					}
				}
				path, other := filepath.Join(dir, blocked), filepath.Join(t.TempDir(), "other")
				for _, name := range []string{path, other} {
					if err := os.WriteFile(name, []byte("mounted"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if out, err := exec.Command("mount", "--bind", other, path).CombinedOutput(); err != nil {
					testenv.Missing(t, "mount", "can't bind a file (needs root): "+string(out))
				}
				t.Cleanup(func() {
					if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
						t.Errorf("umount: %v: %s", err, out)
					}
				})
				want := contents(t, dir)
				if err := complete(3).Write(dir, scratch, nil); err == nil || !strings.Contains(err.Error(), "device or resource busy") {
					t.Errorf("error %v", err)
				}
				if got := contents(t, dir); !maps.Equal(got, want) {
					t.Errorf("the files aren't as before: %d, were %d", len(got), len(want))
				}
				if left := contents(t, scratch); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// A full disk is said, and what was there stays.
func TestWriteFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs tmpfs")
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "multimage-test", disk).CombinedOutput(); err != nil {
		testenv.Missing(t, "tmpfs", "can't mount one (needs root): "+string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	dir, scratch := filepath.Join(disk, "bench"), filepath.Join(disk, "tmp")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	small := base()
	if err := small.Write(dir, scratch, nil); err != nil {
		t.Fatal(err)
	}
	want := contents(t, dir)
	err := complete(30).Write(dir, scratch, nil)
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one of no space, that names %s", err, dir)
	}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("the files aren't as before: %d, were %d", len(got), len(want))
	}
	if left := contents(t, scratch); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
