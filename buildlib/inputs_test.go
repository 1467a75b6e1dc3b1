package buildlib

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	memoryregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// warnings collects what a plan's stages warn of.
func warnings(p *opened) func() []string {
	var mu sync.Mutex
	var list []string
	p.Builder.progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Step == StepWarn {
			list = append(list, e.Subject)
		}
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return append(slices.Clone(p.Plan.Warnings), list...) }
}

// atWork has f called once, when the first compile has ended.
func atWork(p *opened, f func()) {
	var once sync.Once
	p.Builder.progress = func(e Event) {
		if e.Step == StepCompile && e.Done {
			once.Do(f)
		}
	}
}

func TestSourceChangesDuringTheBuild(t *testing.T) {
	changed := strings.Replace(program, "unset", "other", 1)
	for _, tt := range []struct {
		name    string
		git     bool
		before  func(t *testing.T, dir string) // the plan
		during  func(t *testing.T, dir string)
		changed string // what the error names; empty: no error
	}{
		{"a source", true, nil, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/main.go", changed) }, "cmd/server/main.go"},
		{"and back", true, nil, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/main.go", program) }, "cmd/server/main.go"},
		{"one that was changed before", true, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/main.go", program+"\n") },
			func(t *testing.T, dir string) { write(t, dir+"/cmd/server/main.go", changed) }, "cmd/server/main.go"},
		{"without git", false, nil, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/main.go", changed) }, "cmd/server/main.go"},
		{"a further source", true, nil, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/more.go", "package main\n") }, "cmd/server/more.go"},
		{"what is embedded", true, nil, func(t *testing.T, dir string) { write(t, dir+"/cmd/server/web/new.html", "new") }, "cmd/server/web/new.html"},
		{"another tracked file", true, nil, func(t *testing.T, dir string) { write(t, dir+"/README.md", "new") }, "README.md"},
		{"HEAD", true, nil, func(t *testing.T, dir string) {
			cmd := exec.Command("git", "commit", "--quiet", "--allow-empty", "-m", "next")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}, "HEAD (it was "},
		{"nothing that counts", true, nil, func(t *testing.T, dir string) {
			write(t, dir+"/notes.txt", "new")
			write(t, dir+"/cmd/server/main_test.go", "package main\n")
			write(t, dir+"/dist/index.html", "new") // tracked, but in Output
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			f["README.md"], f["dist/index.html"], f["cmd/server/web/index.html"] = "old", "old", "old"
			f["cmd/server/web.go"] = "package main\n\nimport _ \"embed\"\nimport \"embed\"\n\n//go:embed web\nvar web embed.FS\n"
			dir := project(t, f)
			if tt.git {
				commit(t, dir, "v1.0.0")
			}
			if tt.before != nil {
				tt.before(t, dir)
			}
			p := plan(t, dir, Project{}, Overrides{Platforms: []string{"linux/amd64"}})
			atWork(p, func() { time.Sleep(10 * time.Millisecond); tt.during(t, dir) })
			_, err := p.Manifest(t.Context())
			if tt.changed == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), filepath.FromSlash(tt.changed)) {
				t.Errorf("error %v, want one that names %s", err, tt.changed)
			}
			for _, made := range []string{"bin", "oci", "images.json"} {
				if _, err := os.Stat(filepath.Join(dir, "dist", made)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("there is a dist/%s: %v", made, err)
				}
			}
		})
	}
}

func TestWhatTheVersionDoesNotTell(t *testing.T) {
	for _, tt := range []struct {
		name    string // or, with a dash, a flag of git update-index
		add     files  // after the commit
		version string
		warning string // empty: none
	}{
		{"nothing", nil, "v1.0.0", ""},
		{"an untracked source", files{"cmd/server/more.go": "package main\n"}, "v1.0.0-dirty", filepath.FromSlash("cmd/server/more.go")},
		{"an untracked file that is embedded", files{"cmd/server/web/new.html": "x"}, "v1.0.0-dirty", filepath.FromSlash("cmd/server/web/new.html")},
		{"a go.work", files{"go.work": "go 1.24\n\nuse .\n"}, "v1.0.0-dirty", "go.work"},
		{"other untracked files", files{"notes.txt": "x", "cmd/server/main_test.go": "package main\n", "tool/main.go": "package main\n"}, "v1.0.0", ""},
		{"an ignored source", files{"cmd/server/generated.go": "package main\n"}, "v1.0.0", "git ignores what go compiles in, so the version does not cover it: " + filepath.FromSlash("cmd/server/generated.go")},
		{"a module beside the repository", files{"../lib/lib.go": "package lib\n\nfunc F() {}\n\nfunc G() {}\n"}, "v1.0.0", "from outside the repository, so the version does not cover it: example.com/lib"},
		{"--assume-unchanged", files{"cmd/server/main.go": "package main\n\nfunc main() { println() }\n"}, "v1.0.0", "git is told not to look at what go compiles in (assume-unchanged, skip-worktree), so the version does not cover it: " + filepath.FromSlash("cmd/server/main.go")},
		{"--skip-worktree", files{"cmd/server/web/index.html": "new"}, "v1.0.0", "does not cover it: " + filepath.FromSlash("cmd/server/web/index.html")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			f[".gitignore"], f["cmd/server/web/index.html"] = "generated.go\ndist\n", "old"
			f["cmd/server/web.go"] = "package main\n\nimport \"embed\"\n\n//go:embed web\nvar web embed.FS\n"
			if _, ok := tt.add["../lib/lib.go"]; ok {
				f["../lib/go.mod"], f["../lib/lib.go"] = "module example.com/lib\n\ngo 1.24\n", "package lib\n\nfunc F() {}\n"
				f["go.mod"] += "\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n"
				f["cmd/server/lib.go"] = "package main\n\nimport \"example.com/lib\"\n\nfunc init() { lib.F() }\n"
			}
			dir := project(t, f)
			commit(t, dir, "v1.0.0")
			for name, content := range tt.add {
				if strings.HasPrefix(tt.name, "-") {
					gitIn(t, dir, "update-index", tt.name, name)
				}
				write(t, filepath.Join(dir, name), content)
			}
			platforms := []string{"linux/amd64"}
			if tt.name == "an ignored source" { // which is said once
				platforms = append(platforms, "linux/arm64")
			}
			for range 2 { // found by go list, then known
				p := plan(t, dir, Project{}, Overrides{Platforms: platforms})
				if p.Version != tt.version {
					t.Errorf("version %s, want %s", p.Version, tt.version)
				}
				told := warnings(p)
				if _, err := p.Binaries(t.Context()); err != nil {
					t.Fatal(err)
				}
				list := told()
				if tt.warning == "" && len(list) > 0 || tt.warning != "" && (len(list) != 1 || !strings.Contains(list[0], tt.warning)) {
					t.Errorf("warnings %q, want one with %q", list, tt.warning)
				}
			}
		})
	}
}

func TestOutputIsEmbedded(t *testing.T) {
	for _, tt := range []struct {
		name, pattern, file, output, cache string
		refused                            string
	}{
		{"a folder", "dist", "dist/index.html", "", "", "Output: "},
		{"all in it", "dist/*", "dist/index.html", "", "", "Output: "},
		{"above it", "web", "web/index.html", "web/out", "", "Output: "},
		{"below it", "dist/bin", "dist/bin/x", "", "", "Output: "},
		{"the cache", "web", "web/index.html", "", "web/cache", "Cache: "},
		{"a file of its own", "dist/index.html", "dist/index.html", "", "", ""},
		{"a hidden folder", "web", "web/index.html", "web/.out", "", ""},
		{"a hidden folder, with all", "all:web", "web/index.html", "web/.out", "", "Output: "},
		{"another", "web", "web/index.html", "dist", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			f["ui/ui.go"] = "package ui\n\nimport \"embed\"\n\n//go:embed " + tt.pattern + "\nvar FS embed.FS\n"
			f["ui/"+tt.file] = "hi"
			f["cmd/server/main.go"] = "package main\n\nimport _ \"example.com/acme/ui\"\n\nfunc main() {}\n"
			dir := project(t, f)
			o := Overrides{Platforms: []string{"linux/amd64"}, Output: filepath.Join(dir, "ui", cmp.Or(tt.output, "dist"))}
			if tt.cache != "" {
				o.Cache = filepath.Join(dir, "ui", filepath.FromSlash(tt.cache))
			}
			_, err := plan(t, dir, Project{}, o).Binaries(t.Context())
			if tt.refused == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "package example.com/acme/ui ") {
				t.Errorf("error %v, want one with %q and the package", err, tt.refused)
			}
		})
	}
}

func TestFilesLeftOutForCgo(t *testing.T) {
	cgo := "package db\n\n// static int one(void) { return 1; }\nimport \"C\"\n\nfunc Open() { println(C.one()) }\n"
	for _, tt := range []struct {
		name, stub string
		err        []string
	}{
		{"a stub", "//go:build !cgo\n\npackage db\n\nfunc Open() { panic(\"stub\") }\n", nil},
		{"undefined names", "package db\n\nfunc Close() {}\n", []string{"undefined: ", "CGO_ENABLED=0, which leaves out files of example.com/acme/db"}},
		{"no file", "", []string{"build constraints exclude all Go files", "CGO_ENABLED=0, which leaves out files of example.com/acme/db"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			f["db/cgo.go"] = cgo
			if tt.stub != "" {
				f["db/stub.go"] = tt.stub
			}
			f["db/darwin_darwin.go"] = "package db\n\nimport \"C\"\n"
			f["cmd/server/main.go"] = "package main\n\nimport \"example.com/acme/db\"\n\nfunc main() { db.Open() }\n"
			p := plan(t, project(t, f), Project{}, Overrides{Platforms: []string{"linux/amd64", "linux/arm64"}})
			told := warnings(p)
			_, err := p.Binaries(t.Context())
			if list := told(); len(list) != 1 || !strings.Contains(list[0], " example.com/acme/db: ") {
				t.Errorf("warnings %q, want one that names the package", list)
			}
			if (err != nil) != (tt.err != nil) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.err {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v doesn't say %q", err, want)
				}
			}
		})
	}
}

func TestDynamicLoader(t *testing.T) {
	testenv.Slow(t) // go compiles the runtime in another way
	dir := project(t, oneMain())
	t.Setenv("GOFLAGS", "-buildmode=pie")
	o := Overrides{Platforms: []string{"linux/amd64"}}
	_, err := plan(t, dir, Project{}, o).Images(t.Context())
	if err == nil || !strings.Contains(err.Error(), "binary server wants the dynamic loader /lib64/ld-linux-x86-64.so.2, which the image lacks (base scratch)") {
		t.Errorf("error %v, want one that names the loader", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist", "bin")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dist was changed: %v", err)
	}
	// Files may bring it, and a binary alone needs none.
	write(t, filepath.Join(dir, "loader"), "x")
	with := Project{Images: []Image{{Name: "server", Files: []File{{Source: "loader", Path: "/lib64/ld-linux-x86-64.so.2"}}}}}
	if _, err := plan(t, dir, with, o).Images(t.Context()); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "lib", "ld-linux-x86-64.so.2"), "x")
	with.Images[0].Files[0] = File{Source: "lib/ld-*", Path: "/lib64/"}
	if _, err := plan(t, dir, with, o).Images(t.Context()); err != nil {
		t.Error(err)
	}
}

// A bit that flips on the disk changes no time: the record vouches for the file,
// and so does go, by its build ID.
func TestBitFlipsInKeptBinary(t *testing.T) {
	dir := project(t, oneMain())
	o := Overrides{Platforms: []string{"linux/amd64"}, Cache: t.TempDir()}
	first := images(t, plan(t, dir, Project{}, o))[0]
	binary := filepath.Join(dir, "dist", "bin", "linux", "amd64", "server")
	good := read(t, binary)
	if err := flip(binary); err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob(filepath.Join(dir, "dist", ".multimage", "kept", "*", "*-0.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("records %q, %v", records, err)
	}
	record := map[string]struct {
		Identity disk.Identity
		Digest   v1.Hash
	}{}
	if err := disk.ReadRecord(records[0], &record); err != nil {
		t.Fatal(err)
	}
	k := record["server"]
	if k.Identity, err = disk.Identify(binary); err != nil {
		t.Fatal(err)
	}
	record["server"] = k
	if err := disk.WriteRecord(records[0], t.TempDir(), record); err != nil {
		t.Fatal(err)
	}
	o.Cache = t.TempDir() // the layer is made again
	if again := images(t, plan(t, dir, Project{}, o))[0]; again.Digest != first.Digest {
		t.Errorf("digest %s, want %s", again.Digest, first.Digest)
	}
	if read(t, binary) != good {
		t.Error("the published binary is still damaged")
	}
}

// A version that a magefile puts into Ldflags leaves no folder per commit, and
// what is no longer used goes by count and age.
func TestKeptFoldersAreBounded(t *testing.T) {
	dir := project(t, oneMain())
	o := Overrides{Platforms: []string{"linux/amd64"}}
	kept := filepath.Join(dir, "dist", ".multimage", "kept", "linux-amd64")
	for _, version := range []string{"one", "two"} {
		p := plan(t, dir, Project{Go: GoBuild{Ldflags: "-X main.version=" + version}}, o)
		list, err := p.Binaries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(read(t, list[0].Path), version) {
			t.Errorf("the binary doesn't have the version %s", version)
		}
	}
	names := func() []string {
		entries, err := os.ReadDir(kept)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	if list := names(); len(list) != 3 {
		t.Fatalf("kept %q, want one folder and its two records", list)
	}
	own := names()
	for i := range keptCount + 2 {
		name := filepath.Join(kept, "other-"+string(rune('a'+i)))
		write(t, name+"/server", "x")
		write(t, name+".json", "{}")
		used := time.Now().Add(-time.Duration(i) * time.Hour)
		if i == 1 {
			used = time.Now().Add(-keptAge - time.Hour)
		}
		if err := os.Chtimes(name+".json", used, used); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(kept, "gone.inputs.json"), "{}")
	if _, err := plan(t, dir, Project{}, o).Binaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := names()
	for _, name := range own {
		if !slices.Contains(list, name) {
			t.Errorf("%s of this run has gone", name)
		}
	}
	if want := len(own) + 2*keptCount; len(list) != want {
		t.Errorf("%d kept: %q, want %d", len(list), list, want)
	}
	if slices.Contains(list, "other-b") || slices.Contains(list, "gone.inputs.json") || !slices.Contains(list, "other-a") {
		t.Errorf("kept %q", list)
	}
}

func TestGOFLAGS(t *testing.T) {
	for _, tt := range []struct {
		flags   string
		project GoBuild
		mistake string // in the error
		warning string
	}{
		{flags: "-mod=mod"},
		{flags: "-o=elsewhere"},
		{flags: "-trimpath=false -buildvcs=true -v"},
		{flags: "-tags=one", project: GoBuild{Ldflags: "-s"}},
		{flags: "-tags=one", project: GoBuild{Tags: []string{"two"}}, warning: "GOFLAGS has -tags=one, which the Project's Go.Tags replaces for server"},
		{flags: "'-ldflags=-s -w'", project: GoBuild{Ldflags: "-X main.version=x"}, warning: "GOFLAGS has -ldflags=-s -w, which the Project's Go.Ldflags"},
		{flags: "-n", mistake: `GOFLAGS: "-n" is refused`},
		{flags: "-json", mistake: `GOFLAGS: "-json" is refused`},
		{flags: "-race", mistake: `GOFLAGS: "-race" is refused`},
		{flags: "-race=T", mistake: `GOFLAGS: "-race=T" is refused`},
		{flags: "-race=false"},
		{flags: "-buildmode=c-shared", mistake: `GOFLAGS: "-buildmode=c-shared" is refused: it does not make a program`},
		{project: GoBuild{Flags: []string{"-buildmode", "plugin"}}, mistake: `Go.Flags[0]: "-buildmode=plugin" is refused: it does not make a program`},
		{project: GoBuild{Flags: []string{"--race"}}, mistake: `Go.Flags[0]: "--race" is refused`},
	} {
		dir := project(t, oneMain())
		commit(t, dir, "v1.0.0")
		t.Setenv("GOFLAGS", tt.flags)
		p, err := Project{Dir: dir, Go: tt.project}.Plan(t.Context(), Overrides{Cache: cache, Platforms: []string{"linux/amd64"}})
		if tt.mistake != "" {
			if err == nil || !strings.Contains(err.Error(), tt.mistake) {
				t.Errorf("%s %v: error %v, want %q", tt.flags, tt.project, err, tt.mistake)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.flags, err)
			continue
		}
		if text := strings.Join(p.Warnings, "\n"); (text != "") != (tt.warning != "") || !strings.Contains(text, tt.warning) {
			t.Errorf("%s: warnings %q, want %q", tt.flags, text, tt.warning)
		}
		list, err := open(t, p, Options{}).Binaries(t.Context())
		if err != nil || !strings.HasPrefix(read(t, list[0].Path), "\x7fELF") {
			t.Errorf("%s: %v, %v", tt.flags, list, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "elsewhere")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s wrote elsewhere: %v", tt.flags, err)
		}
	}
}

// What changes while images are pushed leaves them without a tag.
func TestSourceChangesDuringThePush(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir, "v1.0.0")
	var once sync.Once
	var tagged atomic.Bool
	registry := memoryregistry.New(memoryregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			once.Do(func() { write(t, filepath.Join(dir, "cmd", "server", "main.go"), program+"\n") })
			if strings.HasSuffix(r.URL.Path, "/v1.0.0") {
				tagged.Store(true)
			}
		}
		registry.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	p := plan(t, dir, Project{Registries: []string{host + "/acme"}}, Overrides{Platforms: []string{"linux/amd64"}})
	_, err := p.Manifest(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the source changed during the build") || tagged.Load() {
		t.Errorf("error %v, tagged %v", err, tagged.Load())
	}
}
