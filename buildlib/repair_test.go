package buildlib

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// A build that fails in one main leaves all as it was, the other main's new
// binary included.
func TestFailingCompile(t *testing.T) {
	f := oneMain()
	f["cmd/agent/main.go"] = program
	dir := project(t, f)
	o := Overrides{Platforms: []string{"linux/amd64"}}
	if _, err := plan(t, dir, Project{}, o).Manifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Join(dir, "dist"))
	write(t, filepath.Join(dir, "cmd", "agent", "main.go"), strings.Replace(program, "unset", "changed", 1))
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), "package main\n\nfunc main() { undefined() }\n")
	for name, stage := range map[string]func(*opened) error{
		"binaries": func(p *opened) error { _, err := p.Binaries(t.Context()); return err },
		"manifest": func(p *opened) error { _, err := p.Manifest(t.Context()); return err },
	} {
		err := stage(plan(t, dir, Project{}, o))
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		for _, want := range []string{"linux/amd64", "example.com/acme/cmd/server", filepath.Join("cmd", "server", "main.go") + ":3:15: undefined: undefined"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v doesn't say %q", name, err, want)
			}
		}
		equal(t, name, snapshot(t, filepath.Join(dir, "dist")), before)
	}
}

// What a killed run left, a careless tool or a bad disk: the next run makes it
// right without being asked.
func TestRepairs(t *testing.T) {
	dir := project(t, oneMain())
	cache := t.TempDir()
	o := Overrides{Platforms: []string{"linux/amd64"}, Cache: cache}
	run := func() ImageResult { t.Helper(); return images(t, plan(t, dir, Project{}, o))[0] }
	first := run()
	dist := filepath.Join(dir, "dist")
	valid(t, first.Layout)
	good := snapshot(t, dist)
	binary := filepath.Join(dist, "bin", "linux", "amd64", "server")
	for _, tt := range []struct {
		name   string
		damage func() error
	}{
		// What shares a case is repaired by different stages.
		{"binary and blobs of the layout edited in place", func() error { return errors.Join(flip(binary), flipAll(filepath.Join(first.Layout, "blobs"))) }},
		{"binary and index deleted", func() error {
			return errors.Join(os.Remove(binary), os.Remove(filepath.Join(first.Layout, "index.json")))
		}},
		{"cache edited, layout deleted", func() error { return errors.Join(flipAll(filepath.Join(cache, "blobs")), os.RemoveAll(first.Layout)) }},
		{"binary replaced, cache deleted", func() error {
			return errors.Join(os.Remove(binary), os.WriteFile(binary, nil, 0o755), os.RemoveAll(cache))
		}},
		{"all private files deleted", func() error { return os.RemoveAll(filepath.Join(dist, ".multimage")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			time.Sleep(10 * time.Millisecond) // the clock that stamps files is coarse
			if err := tt.damage(); err != nil {
				t.Fatal(err)
			}
			if again := run(); again.Digest != first.Digest {
				t.Errorf("digest %s, want %s", again.Digest, first.Digest)
			}
			equal(t, "dist", snapshot(t, dist), good)
		})
	}
}

// flip changes a byte in the middle of a file and restores its time.
func flip(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return err
	}
	data[len(data)/2] ^= 1
	return errors.Join(
		os.Chmod(path, 0o644), os.WriteFile(path, data, 0o644),
		os.Chmod(path, info.Mode()), os.Chtimes(path, info.ModTime(), info.ModTime()),
	)
}

func flipAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return flip(path)
	})
}

func TestSweepsWhatAKilledRunLeft(t *testing.T) {
	dir := project(t, oneMain())
	left := filepath.Join(dir, "dist", ".multimage", "tmp", "run-1", "write-2")
	write(t, left, "half a blob")
	// Of an image that this run doesn't make, and of .gitignore.
	private := filepath.Join(dir, "dist", ".multimage")
	others := []string{filepath.Join(private, "layouts", "agent", "tmp", "link-3"), filepath.Join(private, "write-4")}
	for _, path := range others {
		write(t, path, "half a file")
	}
	if _, err := plan(t, dir, Project{}, Overrides{Platforms: []string{"linux/amd64"}}).Binaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Dir(filepath.Dir(left))
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 1 || entries[0].Name() != "lock" {
		t.Errorf("%s holds %v, %v, want its lock only", tmp, entries, err)
	}
	for _, path := range others {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
	// It tells that the other image's layout wasn't finished.
	if _, err := os.Stat(filepath.Dir(others[0])); err != nil {
		t.Error(err)
	}
}

func TestSecondRunWaitsForTheFirst(t *testing.T) {
	dir := project(t, oneMain())
	private := filepath.Join(dir, "dist", ".multimage")
	if err := os.MkdirAll(private, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.TryLock(filepath.Join(private, "lock"), "process 4711 (mage images)")
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, dir, Project{}, Overrides{Platforms: []string{"linux/amd64"}})
	told := make(chan string, 1)
	p.progress = func(e Event) {
		if e.Step == StepWait {
			told <- e.Subject
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := p.Binaries(context.WithoutCancel(t.Context()))
		ended <- err
	}()
	select {
	case subject := <-told:
		if !strings.HasPrefix(subject, "process 4711 (mage images) is at work in ") {
			t.Errorf("told %q, want whom it waits for", subject)
		}
	case err := <-ended:
		t.Fatalf("ended without waiting: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStagesEndWithTheirContext(t *testing.T) {
	dir := project(t, oneMain())
	why := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for name, stage := range map[string]func(*opened) error{
		"binaries": func(p *opened) error { _, err := p.Binaries(ctx); return err },
		"images":   func(p *opened) error { _, err := p.Images(ctx); return err },
		"manifest": func(p *opened) error { _, err := p.Manifest(ctx); return err },
	} {
		if err := stage(plan(t, dir, Project{}, Overrides{})); !errors.Is(err, why) {
			t.Errorf("%s: error %v, want the context's cause", name, err)
		}
	}
	for _, made := range []string{"bin", "oci", "images.json"} {
		if _, err := os.Stat(filepath.Join(dir, "dist", made)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is a dist/%s: %v", made, err)
		}
	}
}
