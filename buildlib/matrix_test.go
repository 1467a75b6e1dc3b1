package buildlib

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func matrix(t *testing.T, p *opened) Matrix {
	t.Helper()
	m, err := p.Matrix(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mixed has a program for every system, and two images that share no more than
// some platforms.
var mixed = Project{
	Platforms: []string{"linux/arm64/v8", "darwin/arm64", "linux/amd64", "linux/arm"},
	Runners:   map[string]string{"linux/arm64": "ubuntu-24.04-arm", "linux/arm/v7": "arm", "linux/s390x": "spare"},
	Binaries:  []Binary{{Name: "server"}},
	Images: []Image{
		{Name: "server", Platforms: []string{"linux/amd64"}},
		{Name: "tiny", Binaries: []string{"server"}},
	},
}

func TestMatrix(t *testing.T) {
	dir := project(t, oneMain())
	data, err := json.MarshalIndent(matrix(t, plan(t, dir, mixed, Overrides{})), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	// The key has the Go version and, in its sums, what depends on it.
	key := regexp.MustCompile(`"cacheKey": "go[0-9][A-Za-z0-9._]*-(linux-[a-z0-9-]+)-[0-9a-f]{16}-[0-9a-f]{16}"`)
	golden(t, "matrix.golden", key.ReplaceAllString(string(data), `"cacheKey": "GOVERSION-$1-SUM-SUM"`)+"\n")

	some := matrix(t, plan(t, dir, mixed, Overrides{Platforms: []string{"linux/arm64"}}))
	if len(some.Include) != 1 || some.Include[0].Platform.String() != "linux/arm64" || some.Include[0].Runner != "ubuntu-24.04-arm" {
		t.Errorf("narrowed to one platform, it is %+v", some)
	}
	none := plan(t, dir, mixed, Overrides{Platforms: []string{"darwin/arm64"}})
	if m, err := none.Matrix(t.Context()); err == nil {
		t.Errorf("without an image, it is %+v: a CI system would run no job and call that success", m)
	}
}

func TestRunners(t *testing.T) {
	dir := project(t, oneMain())
	for _, tt := range []struct {
		runners map[string]string
		wants   []string
	}{
		{map[string]string{"linux/amd46": "x", "linux": "y"}, []string{
			`Runners["linux/amd46"]: platform "linux/amd46": Go can't build for it (go tool dist list shows what it can); did you mean linux/amd64?`,
			`Runners["linux"]: platform "linux": want OS/ARCH`,
		}},
		{map[string]string{"linux/arm64": ""}, []string{`Runners["linux/arm64"]: "" is not a valid runner label: want one like ubuntu-24.04-arm`}},
		{map[string]string{"linux/arm64": "x\ny"}, []string{`Runners["linux/arm64"]: "x\ny" is not a valid runner label`}},
		{map[string]string{"linux/arm64": "a", "linux/arm64/v8": "b"}, []string{`Runners["linux/arm64/v8"]: linux/arm64 has two runners, "a" and "b"`}},
	} {
		_, err := Project{Dir: dir, Runners: tt.runners}.Plan(t.Context(), Overrides{Cache: cache})
		for _, want := range tt.wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Runners %q: error %v\nwant %s", tt.runners, err, want)
			}
		}
	}
}

// The key of a build cache changes if what it holds is of no use any more, and
// then only: a miss compiles everything, a hit that is none does, too.
func TestCacheKey(t *testing.T) {
	const (
		sums   = "example.com/a v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nexample.com/a v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
		needsA = goMod + "\nrequire example.com/a v1.0.0\n"
	)
	start := files{"go.mod": needsA, "go.sum": sums, "cmd/server/main.go": program, "pgo/default.pgo": ""}
	key := func(t *testing.T, change files, p Project, env map[string]string) string {
		t.Helper()
		all := files{}
		for _, f := range []files{start, change} {
			for name, content := range f {
				if all[name] = content; content == "" {
					delete(all, name)
				}
			}
		}
		dir := project(t, all)
		for name, value := range env {
			t.Setenv(name, strings.ReplaceAll(value, "DIR", dir))
		}
		p.Platforms = []string{"linux/arm/v7"}
		return matrix(t, plan(t, dir, p, Overrides{})).Include[0].CacheKey
	}
	base := key(t, nil, Project{}, nil)
	if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`).MatchString(base) {
		t.Errorf("key %q: GitHub takes no comma and 512 bytes at most", base)
	}
	module := func(text string) files { return files{"go.mod": text} }
	for _, tt := range []struct {
		name    string
		change  files
		project Project
		env     map[string]string
		same    bool
	}{
		{name: "another folder", same: true},
		{name: "source", change: files{"cmd/server/main.go": program + "// more\n"}, same: true},
		{name: "another main", change: files{"cmd/client/main.go": program}, same: true},
		{name: "version", project: Project{Version: "2.0", Go: GoBuild{Ldflags: "-X main.version={{.Version}}"}}, same: true},
		{name: "linker's arguments among the flags", project: Project{Go: GoBuild{Flags: []string{"-ldflags", "-s", "--ldflags=-w"}}}, same: true},
		{name: "linker's arguments in GOFLAGS", env: map[string]string{"GOFLAGS": `'-ldflags=-s -w'`}, same: true},
		{name: "module's own lines and comments", same: true,
			change: module("// comment\nmodule example.com/acme/v2\n\ngo 1.25.0\n\nrequire (\n\texample.com/a v1.0.0 // indirect\n)\n")},
		{name: "CRLF", change: files{"go.sum": strings.ReplaceAll(sums, "\n", "\r\n")}, same: true},
		{name: "runner and labels", project: Project{Runners: map[string]string{"linux/arm": "fast"}, Labels: map[string]string{"x": "y"}}, same: true},
		{name: "image", project: Project{Images: []Image{{Name: "other", Binaries: []string{"server"}, Cmd: []string{"x"}}}}, same: true},
		{name: "cache folder", env: map[string]string{"GOCACHE": "DIR/cache", "GOTMPDIR": ""}, same: true},

		{name: "go.sum", change: files{"go.sum": strings.ReplaceAll(sums, "AAA=", "AAB=")}},
		{name: "a version in go.mod alone", change: module(strings.ReplaceAll(needsA, "v1.0.0", "v1.0.1"))},
		{name: "replaced", change: module(needsA + "replace example.com/a => example.com/b v1.0.0\n")},
		{name: "replaced by a folder", change: module(needsA + "replace example.com/a => ../a\n")},
		{name: "vendored", change: files{"vendor/modules.txt": "# example.com/a v1.0.0\n## explicit\n"}, env: map[string]string{"GOFLAGS": ""}},
		{name: "build tags", project: Project{Go: GoBuild{Tags: []string{"netgo"}}}},
		{name: "flags", project: Project{Go: GoBuild{Flags: []string{"-gcflags=all=-N"}}}},
		{name: "GOFLAGS", env: map[string]string{"GOFLAGS": "-tags=netgo"}},
		{name: "GOEXPERIMENT", env: map[string]string{"GOEXPERIMENT": "nosimd"}},
		{name: "GOFIPS140", env: map[string]string{"GOFIPS140": "latest"}},
		{name: "environment of the project", project: Project{Go: GoBuild{Env: []string{"GOEXPERIMENT=nosimd"}}}},
		{name: "binary built otherwise", project: Project{Binaries: []Binary{{Name: "server", Go: GoBuild{Tags: []string{"x"}}}}}},
		{name: "workspace", change: files{"go.work": "go 1.25.0\n\nuse .\n", "go.work.sum": sums + "example.com/c v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
			env: map[string]string{"GOWORK": "DIR/go.work"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := key(t, tt.change, tt.project, tt.env); (got == base) != tt.same {
				t.Errorf("key %s\nwas %s, want the same: %v", got, base, tt.same)
			}
		})
	}

	// Where a replaced module's folder is says nothing of what is in it.
	here, there := key(t, module(needsA+"replace example.com/a => ../a\n"), Project{}, nil), key(t, module(needsA+"replace example.com/a => /src/a\n"), Project{}, nil)
	if here != there {
		t.Errorf("with a module in another folder, the key is %s and %s", here, there)
	}

	// Levels of an architecture are compiled apart.
	dir := project(t, start)
	seen := map[string]Platform{}
	for _, job := range matrix(t, plan(t, dir, Project{Platforms: []string{"linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/amd64/v3", "linux/386"}}, Overrides{})).Include {
		if other, ok := seen[job.CacheKey]; ok {
			t.Errorf("%s and %s share the key %s", other, job.Platform, job.CacheKey)
		}
		seen[job.CacheKey] = job.Platform
	}
	if len(seen) != 5 {
		t.Errorf("keys %v", seen)
	}
}

// In a workspace, all its modules say what is needed.
func TestCacheKeyOfWorkspace(t *testing.T) {
	dir := project(t, files{
		"go.work":    "go 1.25.0\n\nuse (\n\t./app\n\t./lib\n)\n",
		"app/go.mod": "module example.com/app\n\ngo 1.25.0\n", "app/cmd/server/main.go": program,
		"lib/go.mod": "module example.com/lib\n\ngo 1.25.0\n", "lib/lib.go": "package lib\n",
	})
	key := func() string {
		return matrix(t, plan(t, dir, Project{Dir: "app", Platforms: []string{"linux/amd64"}}, Overrides{})).Include[0].CacheKey
	}
	before := key()
	write(t, filepath.Join(dir, "lib", "lib.go"), "package lib\n\nconst X = 1\n")
	if got := key(); got != before {
		t.Errorf("a change in the source of another module changed the key from %s to %s", before, got)
	}
	write(t, filepath.Join(dir, "lib", "go.mod"), "module example.com/lib\n\ngo 1.25.0\n\nrequire example.com/a v1.0.0\n")
	if got := key(); got == before {
		t.Errorf("what another module of the workspace requires left the key at %s", got)
	}
}
