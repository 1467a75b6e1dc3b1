package buildlib

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// git is what git says in dir.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return string(out)
}

// git ignores what we write, and nothing of the project's: dist may be its own.
func TestIgnoresWhatIsWritten(t *testing.T) {
	for name, own := range map[string]string{"none": "", "of the project": "*.log\n", "that covers all": "*\n!.gitignore\n"} {
		t.Run(name, func(t *testing.T) {
			files := oneMain()
			files["dist/index.js"] = "tracked"
			files["dist/bin/tool"] = "tracked"
			if own != "" {
				files["dist/.gitignore"] = own
			}
			dir := project(t, files)
			commit(t, dir, "v1.2.3")
			p, events := watched(t, dir, Project{}, Overrides{})
			for range 2 {
				if _, err := p.Manifest(t.Context()); err != nil {
					t.Fatal(err)
				}
				p, _ = watched(t, dir, Project{}, Overrides{})
			}
			warned := slices.ContainsFunc(events.events, func(e Event) bool {
				return e.Step == StepWarn && strings.Contains(e.Detail+e.Subject, filepath.Join("dist", ".gitignore"))
			})
			if want := name == "of the project"; warned != want {
				t.Errorf("warned of .gitignore: %v, want %v", warned, want)
			}
			if warned {
				return
			}
			if got := gitIn(t, dir, "status", "--short", "--untracked-files=all"); got != "" {
				t.Errorf("git shows what was written:\n%s", got)
			}
			if own != "" {
				return
			}
			write(t, filepath.Join(dir, "dist", "new.js"), "of the project")
			write(t, filepath.Join(dir, "dist", "bin", "new"), "of the project")
			if got := gitIn(t, dir, "status", "--short"); got != "?? dist/bin/new\n?? dist/new.js\n" {
				t.Errorf("git shows %q, want the new files", got)
			}
		})
	}
}

// What is below OUTPUT is ours: a symbolic link there is refused and not
// written through. OUTPUT itself may be one.
func TestLinksInOutput(t *testing.T) {
	build := func(dir string) error {
		_, err := plan(t, dir, Project{}, Overrides{Platforms: []string{"linux/amd64"}}).Images(t.Context())
		return err
	}
	dir := project(t, oneMain())
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "dist")); err != nil {
		t.Skip(err)
	}
	if err := build(dir); err != nil {
		t.Fatal(err)
	}
	victim := t.TempDir()
	keep := filepath.Join(victim, "keep")
	write(t, keep, "precious")
	kept, err := filepath.Glob(filepath.Join(outside, ".multimage", "kept", "linux-amd64", "*"))
	if err != nil {
		t.Fatal(err)
	}
	kept = slices.DeleteFunc(kept, func(path string) bool { return strings.HasSuffix(path, ".json") })
	if len(kept) != 1 {
		t.Fatalf("kept %q", kept)
	}
	name, err := filepath.Rel(outside, kept[0])
	if err != nil {
		t.Fatal(err)
	}
	private := func(name string) string { return filepath.Join(".multimage", name) }
	for _, name := range []string{
		"bin", "bin/linux", "oci", "oci/server", "oci/server/blobs", "oci/server/blobs/sha256", "bench", "digests",
		".multimage", private("lock"), private("tmp"), private("tmp/lock"), private("kept"), private("layouts"),
		private("layouts/server"), private("kept/linux-amd64"), name,
	} {
		path := filepath.Join(dir, "dist", name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		to := victim
		if strings.HasSuffix(name, "lock") {
			to = keep
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		if err := build(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: error %v, want one that names the link", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := build(dir); err != nil {
			t.Errorf("%s: without the link: %v", name, err)
		}
	}
	// Files that appear by a rename take the place of a link.
	for _, name := range []string{"images.json", "bin/linux/amd64/server", "oci/server/index.json", "oci/server/oci-layout", private("layouts/server/verified.json"), name + ".json"} {
		path := filepath.Join(dir, "dist", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := os.Symlink(keep, path); err != nil {
			t.Fatal(err)
		}
		if _, err := plan(t, dir, Project{}, Overrides{Platforms: []string{"linux/amd64"}}).Manifest(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	valid(t, filepath.Join(dir, "dist", "oci", "server"))
	if list, err := os.ReadDir(victim); err != nil || len(list) != 1 || read(t, keep) != "precious" {
		t.Errorf("what the links led to is %v, %v", list, err)
	}
}

func TestLayoutOfAnother(t *testing.T) {
	dir := project(t, oneMain())
	layout := filepath.Join(dir, "dist", "oci", "server")
	write(t, filepath.Join(layout, "index.json"), `{"schemaVersion":2,"manifests":[]}`)
	p, events := watched(t, dir, Project{}, Overrides{})
	_, err := p.Images(t.Context())
	if err == nil || !strings.Contains(err.Error(), "image server: layout "+layout) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("error %v, want one that names the folder and the fix", err)
	}
	if slices.ContainsFunc(events.events, func(e Event) bool { return e.Step == StepCompile }) {
		t.Error("compiled first")
	}
	if got := read(t, filepath.Join(layout, "index.json")); !strings.Contains(got, `"manifests":[]`) {
		t.Errorf("index.json is %s now", got)
	}
}

// A cache that can't be written to is no reason to build nothing.
func TestCacheThatCannotBeWritten(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(cache, 0o555); err != nil {
		t.Fatal(err)
	}
	dir := project(t, oneMain())
	p, events := watched(t, dir, Project{}, Overrides{Cache: cache})
	if _, err := p.Manifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range events.events {
		if e.Step == StepWarn && strings.Contains(e.Detail+e.Subject, cache) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("warned %d times, want once", n)
	}
}
