package gotool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// main prints text with nothing but the runtime, so that it links fast.
func mainOf(text string) string {
	return fmt.Sprintf("package main\n\nfunc main() { println(%q) }\n", text)
}

// project is a module with the mains one and two, and a Build of them.
type project struct {
	t   *testing.T
	dir string
	Build
}

func newProject(t *testing.T) project {
	t.Helper()
	dir := module(t, map[string]string{
		"go.mod":          "module example.com/m\n\ngo 1.24\n",
		"cmd/one/main.go": mainOf("one"),
		"cmd/two/main.go": mainOf("two"),
	})
	env, err := PlatformEnv(v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	p := project{t, dir, Build{
		Env: env, Args: []string{"-trimpath", "-buildvcs=false"},
		Mains:  []Main{{"example.com/m/cmd/one", "one" + exe}, {"./cmd/two", "two" + exe}},
		Folder: filepath.Join(dir, "dist", "kept dir"), Temp: filepath.Join(dir, "dist", "tmp"),
	}}
	if err := os.MkdirAll(p.Temp, 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

var exe = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// build builds, and checks that what came is what is said of it.
func (p project) build() []Executable {
	p.t.Helper()
	executables, err := Go{Dir: p.dir}.Build(p.t.Context(), p.Build)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(executables) != len(p.Mains) {
		p.t.Fatalf("%d executables of %d mains", len(executables), len(p.Mains))
	}
	for i, e := range executables {
		content := p.read(e)
		h, size, err := v1.SHA256(bytes.NewReader(content))
		if err != nil || h != e.Digest || size != e.Size {
			p.t.Errorf("%s holds %s of %d bytes (%v), said to be %s of %d", e.Path, h, size, err, e.Digest, e.Size)
		}
		if filepath.Base(e.Path) != p.Mains[i].File {
			p.t.Errorf("executable %d is %s, want that of %s", i, e.Path, p.Mains[i].Package)
		}
	}
	return executables
}

func (p project) read(e Executable) []byte {
	p.t.Helper()
	content, err := os.ReadFile(e.Path)
	if err != nil {
		p.t.Fatal(err)
	}
	return content
}

func identify(t *testing.T, path string) disk.Identity {
	t.Helper()
	id, err := disk.Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestBuildKeepsWhatIsUnchanged(t *testing.T) {
	p := newProject(t)
	first := p.build()
	for _, e := range first {
		if e.Kept {
			t.Errorf("%s is kept from a run before the first", e.Path)
		}
	}
	one, two := identify(t, first[0].Path), identify(t, first[1].Path)

	second := p.build()
	for i, was := range []disk.Identity{one, two} {
		if !second[i].Kept || second[i].Digest != first[i].Digest {
			t.Errorf("nothing changed, and %s is %+v", second[i].Path, second[i])
		}
		if now := identify(t, second[i].Path); !now.SameFile(was) {
			t.Errorf("%s was linked again, or deleted", second[i].Path)
		}
	}

	write(t, filepath.Join(p.dir, "cmd", "two", "main.go"), mainOf("TWO"))
	third := p.build()
	if !third[0].Kept || third[1].Kept {
		t.Errorf("one kept: %v, two kept: %v, though two alone changed", third[0].Kept, third[1].Kept)
	}
	if !bytes.Contains(p.read(third[1]), []byte("TWO")) {
		t.Error("two is not what its source says")
	}
}

// A build of some of the mains leaves the others kept.
func TestBuildOfSome(t *testing.T) {
	p := newProject(t)
	p.build()
	some := p
	some.Mains = p.Mains[:1]
	some.build()
	for _, e := range p.build() {
		if !e.Kept {
			t.Errorf("%s was not kept", e.Path)
		}
	}
}

// The go command trusts the build ID that is in a kept file, and would ship
// each of these, or fail with "not an object file" until somebody deletes it.
func TestBuildRepairsKeptFiles(t *testing.T) {
	p := newProject(t)
	good := p.read(p.build()[0])
	path := filepath.Join(p.Folder, p.Mains[0].File)
	for _, tt := range []struct {
		name   string
		damage func() error
		kept   bool
	}{
		{"byte flipped", func() error { return overwrite(path, int64(len(good)/2), []byte{good[len(good)/2] ^ 1}) }, false},
		{"truncated", func() error { return os.Truncate(path, int64(len(good)/2)) }, false},
		{"emptied", func() error { return os.Truncate(path, 0) }, false},
		{"garbage", func() error { return os.WriteFile(path, []byte("garbage"), 0o755) }, false},
		{"deleted", func() error { return os.Remove(path) }, false},
		{"a folder", func() error { return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "sub"), 0o755)) }, false},
		{"another program", func() error {
			return errors.Join(os.Remove(path), os.Link(filepath.Join(p.Folder, p.Mains[1].File), path))
		}, false},
		{"record damaged", func() error { return os.WriteFile(p.Folder+".json", []byte(`{"one":`), 0o644) }, false},
		{"record deleted", func() error { return os.Remove(p.Folder + ".json") }, false},
		{"a stranger beside it", func() error { return os.WriteFile(filepath.Join(p.Folder, "stranger"), []byte("x"), 0o755) }, true},
		{"touched", func() error { return os.Chtimes(path, time.Now(), time.Now()) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // the clock that stamps files is coarse
			if err := tt.damage(); err != nil {
				t.Fatal(err)
			}
			if !tt.kept {
				os.Chtimes(path, info.ModTime(), info.ModTime()) // where it still is
			}
			e := p.build()[0]
			if !bytes.Equal(p.read(e), good) {
				t.Error("not the program that was built first")
			}
			if e.Kept != tt.kept {
				t.Errorf("kept: %v, want %v", e.Kept, tt.kept)
			}
			if _, err := os.Stat(filepath.Join(p.Folder, "stranger")); err == nil {
				t.Error("a file that nobody built is kept")
			}
		})
	}
}

// overwrite writes into a file without replacing it.
func overwrite(path string, at int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, at)
	return errors.Join(err, f.Close())
}

// In a folder with the set-group-ID bit, which shared home folders have, go
// deletes the old output before it makes the new one: the new content may have
// the old one's inode and size.
func TestBuildInSetgidFolder(t *testing.T) {
	p := newProject(t)
	if err := os.Chmod(filepath.Dir(p.Folder), 0o755|os.ModeSetgid); err != nil {
		t.Skipf("no set-group-ID folder here: %v", err)
	}
	before := p.build()
	write(t, filepath.Join(p.dir, "cmd", "one", "main.go"), mainOf("eno"))
	after := p.build() // checks the digest
	if after[0].Digest == before[0].Digest || after[0].Kept {
		t.Errorf("a changed program is %+v, as before", after[0])
	}
}

func TestLinkedKeepsTheRecord(t *testing.T) {
	p := newProject(t)
	e := p.build()[0]
	out := filepath.Join(p.dir, "dist", "bin", "one")
	if err := disk.Link(t.Context(), e.Path, out, p.Temp, e.Digest); err != nil {
		t.Fatal(err)
	}
	if err := p.Linked(); err != nil {
		t.Fatal(err)
	}
	// What the record knows need not be read to be trusted.
	if k := p.Build.read()[p.Mains[0].File]; !k.Identity.Same(identify(t, e.Path)) {
		t.Error("the linked file would be hashed by the next run")
	}
	if !p.build()[0].Kept {
		t.Error("a link to a kept file had it built again")
	}

	// An edit through the link is an edit of the kept file, and no new
	// record may vouch for it.
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := overwrite(out, info.Size()/2, []byte("!")); err != nil {
		t.Fatal(err)
	}
	if err := p.Linked(); err != nil {
		t.Fatal(err)
	}
	if got := p.build()[0]; got.Kept || got.Digest != e.Digest {
		t.Errorf("an edited program is %+v, want it built again as %s", got, e.Digest)
	}
}

// The compiler's text is what the user needs, whole, with paths that can be
// clicked on.
func TestBuildShowsTheCompilersText(t *testing.T) {
	p := newProject(t)
	before := p.build()
	write(t, filepath.Join(p.dir, "cmd", "one", "main.go"), "package main\n\nfunc main() {\n\tfirst()\n\tsecond()\n}\n")
	_, err := Go{Dir: p.dir}.Build(t.Context(), p.Build)
	var failure *process.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error %v, want a Failure", err)
	}
	at := filepath.Join("cmd", "one", "main.go")
	want := "exit status 1\n# example.com/m/cmd/one\n" + at + ":4:2: undefined: first\n" + at + ":5:2: undefined: second"
	if err.Error() != want {
		t.Errorf("error\n%s\nwant\n%s", err, want)
	}
	write(t, filepath.Join(p.dir, "cmd", "one", "main.go"), mainOf("one"))
	for i, e := range p.build() {
		if e.Digest != before[i].Digest {
			t.Errorf("%s differs after a build that failed", e.Path)
		}
	}
}

func TestBuildWithoutOutput(t *testing.T) {
	p := newProject(t)
	p.Args = append(p.Args, "-n")
	if _, err := (Go{Dir: p.dir}).Build(t.Context(), p.Build); err == nil || !strings.Contains(err.Error(), "no executable ") {
		t.Errorf("error %v, want one that names the executable", err)
	}
}

func TestBuildCanceledBefore(t *testing.T) {
	p := newProject(t)
	why := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := (Go{Dir: p.dir}).Build(ctx, p.Build); !errors.Is(err, why) {
		t.Errorf("error %v, want the context's cause", err)
	}
}

func TestExecutableName(t *testing.T) {
	for path, want := range map[string]string{
		"example.com/m":            "m",
		"example.com/m/cmd/router": "router",
		"example.com/m/v2":         "m",
		"example.com/m/v10":        "m",
		"example.com/m/v2/cmd/a":   "a",
		"example.com/m/v1":         "v1",
		"example.com/m/v0":         "v0",
		"example.com/m/v02":        "v02",
		"example.com/m/v2x":        "v2x",
		"example.com/m/v":          "v",
		"v2":                       "v2",
		"m":                        "m",
		"gopkg.in/yaml.v3":         "yaml.v3",
	} {
		if got := ExecutableName(path); got != want {
			t.Errorf("ExecutableName(%s) = %s, want %s", path, got, want)
		}
	}
}

// The table above is what go does: a name that it doesn't choose would be
// missing after the build.
func TestExecutableNameIsGos(t *testing.T) {
	for _, path := range []string{"example.com/m/v2", "example.com/m/v1x", "example.com/yaml.v3"} {
		p := newProject(t)
		write(t, filepath.Join(p.dir, "go.mod"), "module "+path+"\n\ngo 1.24\n")
		write(t, filepath.Join(p.dir, "main.go"), mainOf("root"))
		p.Mains = []Main{{path, ExecutableName(path) + exe}}
		p.build()
	}
}
