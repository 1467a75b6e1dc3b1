package buildlib

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// update rewrites the golden files with what the tests got.
var update = flag.Bool("update", false, "rewrite the golden files")

// cache is the tests' common one, because most of them make the same layers. A
// test that is about the cache has its own.
var cache string

func TestMain(m *testing.M) {
	var err error
	if cache, err = os.MkdirTemp("", "multimage-cache-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(cache)
	os.Exit(status)
}

// hermetic keeps what this machine sets, and the network, out of a test.
func hermetic(t *testing.T) {
	t.Helper()
	config := t.TempDir()
	// The go command would go on writing there when the test has ended.
	write(t, filepath.Join(config, "go", "telemetry", "mode"), "off 2026-01-01")
	for key, value := range map[string]string{
		"GOENV": "off", "GOFLAGS": "", "GOWORK": "", "GOPROXY": "off", "GOTOOLCHAIN": "local",
		"GOEXPERIMENT": "", "GOFIPS140": "", "SOURCE_DATE_EPOCH": "",
		"DOCKER_CONFIG": t.TempDir(), "XDG_RUNTIME_DIR": t.TempDir(), "XDG_CONFIG_HOME": config,
		"REGISTRY_AUTH_FILE": "", "DOCKER_AUTH_CONFIG": "", "GITHUB_TOKEN": "",
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
		"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
		"GIT_AUTHOR_DATE": "1750000000 +0000", "GIT_COMMITTER_DATE": "1750000000 +0000",
	} {
		t.Setenv(key, value)
	}
}

// files are those of a project, by path.
type files map[string]string

// program is a main package that links fast, because it needs nothing but the
// runtime.
const program = "package main\n\nvar version = \"unset\"\n\nfunc main() { println(version) }\n"

const goMod = "module example.com/acme\n\ngo 1.24\n"

// oneMain is the smallest project: ./cmd/server.
func oneMain() files { return files{"go.mod": goMod, "cmd/server/main.go": program} }

// project writes a project's files into a folder with a space in its name.
func project(t *testing.T, f files) string {
	t.Helper()
	hermetic(t)
	dir := filepath.Join(t.TempDir(), "my project")
	for name, content := range f {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

// escape makes of a path a pattern that matches it (filepath.Match).
func escape(path string) string {
	if filepath.Separator == '\\' {
		return path // there, nothing can be escaped
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// commit makes dir a repository with one commit of all that is in it.
func commit(t *testing.T, dir string, tags ...string) {
	t.Helper()
	testenv.Require(t, "git")
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "--quiet", "--initial-branch=main")
	git("add", ".")
	git("commit", "--quiet", "-m", "all")
	git("remote", "add", "origin", "git@github.com:acme/acme.git")
	for _, tag := range tags {
		git("tag", tag)
	}
}

// opened is a Builder, and its plan, which tests change.
type opened struct {
	*Plan
	*Builder
}

// plan resolves a Project in dir that must be right.
func plan(t *testing.T, dir string, p Project, o Overrides) *opened {
	t.Helper()
	p.Dir = filepath.Join(dir, p.Dir)
	o.Cache = cmp.Or(o.Cache, cache)
	resolved, err := p.Plan(t.Context(), o)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return open(t, resolved, Options{})
}

// open opens a plan, until the test has ended.
func open(t *testing.T, p *Plan, o Options) *opened {
	t.Helper()
	b, err := Open(context.WithoutCancel(t.Context()), p, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return &opened{p, b}
}

// refusingRegistry is the host of a registry that lets nobody in.
func refusingRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// golden compares got with a file of testdata, or makes it that with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		write(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update accepts it):\n%s", path, difference(string(want), got))
	}
}

// difference shows the lines from the first that differs on.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(g), len(w))
}
