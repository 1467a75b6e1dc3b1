package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// The real tests publish the examples to registries and run them in engines
// that are none of ours: realservices_test.go, realhello_test.go. Here is what
// both need.

// example is a copy of one of the examples, alone in a git repository of its
// own at the tag v1.2.3, in which the real mage runs.
type example struct {
	dir string
	env []string
}

func newExample(t *testing.T, name, dir string) *example {
	t.Helper()
	testenv.Require(t, "git")
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	copyExample(t, filepath.Join(root, "examples", name), dir)
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		files, err := goModule(root, name)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			writeFile(t, filepath.Join(dir, name), content)
		}
	}
	return openExample(t, root, dir)
}

// exampleMagefiles is the MAGEFILE_CACHE of all examples. Their folders are new
// in each test, and mage would link the same magefile for each.
var exampleMagefiles string

// openExample makes a repository of the project in dir, at the tag v1.2.3.
func openExample(t *testing.T, root, dir string) *example {
	t.Helper()
	home := t.TempDir()
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	e := &example{dir: dir, env: append(os.Environ(), gitEnv(dir)...)}
	for key, value := range goEnv() {
		e.env = append(e.env, key+"="+value)
	}
	e.env = append(e.env,
		"HOME="+home, "XDG_CONFIG_HOME="+home, "DOCKER_CONFIG="+home, "XDG_RUNTIME_DIR=", "REGISTRY_AUTH_FILE=", "CI=true",
		"MULTIMAGE_CACHE="+t.TempDir(), "MAGEFILE_CACHE="+exampleMagefiles, "MAGEFILE_HASHFAST=1")
	e.run(t, "go", "mod", "edit", "-replace", "github.com/multimage/multimage="+root)
	e.run(t, "git", "init", "-q")
	e.commit(t)
	e.run(t, "git", "tag", "v1.2.3")
	return e
}

// copyExample copies what git has of an example: all but what it built.
func copyExample(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.Name() == "dist":
		case entry.IsDir():
			if err := os.CopyFS(target, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
		default:
			data, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, target, string(data))
		}
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (e *example) commit(t *testing.T) {
	t.Helper()
	e.run(t, "git", "add", "-A")
	e.run(t, "git", "commit", "-q", "-m", "A commit")
}

// mage runs a target as users do, and returns the lines of its standard output.
func (e *example) mage(t *testing.T, target string, env ...string) []string {
	t.Helper()
	with := *e
	with.env = append(append([]string{}, e.env...), env...)
	return strings.Split(strings.TrimSuffix(with.run(t, "go", "tool", "mage", target), "\n"), "\n")
}

// run runs a program in the example's folder and returns its standard output.
func (e *example) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	return run(t, e.dir, e.env, program, args...)
}

// run runs a program that must succeed, and returns its standard output. What
// else it says is shown if it fails, or by -v.
func run(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if stderr.Len() > 0 {
		t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), stderr.Bytes())
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stdout.Bytes())
	}
	return stdout.String()
}

// images reads dist/images.json.
func (e *example) images(t *testing.T) []buildlib.ImageResult {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.dir, "dist", "images.json"))
	if err != nil {
		t.Fatal(err)
	}
	var images []buildlib.ImageResult
	if err := json.Unmarshal(data, &images); err != nil {
		t.Fatal(err)
	}
	return images
}

// binaries are the files below dist/bin, as os.SameFile compares them.
func (e *example) binaries(t *testing.T) map[string]os.FileInfo {
	t.Helper()
	files := map[string]os.FileInfo{}
	err := filepath.Walk(filepath.Join(e.dir, "dist", "bin"), func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			files[name] = info
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// front stands before a registry, speaks for it, and keeps what it was asked.
type front struct {
	host string

	mu       sync.Mutex
	requests []string // METHOD PATH
}

func newFront(t *testing.T, registry string) *front {
	t.Helper()
	f := &front{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: registry})
			r.Out.Host = r.In.Host // else the registry sends clients past us
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

// asked returns the requests since the last time.
func (f *front) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.requests
	f.requests = nil
	return asked
}

// container is an engine's command: docker or podman.
type container struct {
	program string
	flags   []string // before the subcommand
	env     []string
}

// docker is a Docker engine; the images called prefix... leave it after the test.
func docker(t *testing.T, prefix string) container {
	t.Helper()
	c := container{program: "docker", env: append(os.Environ(), testenv.Docker(t)...)}
	t.Cleanup(func() {
		cmd := exec.Command("docker", "image", "ls", "--all", "--format", "{{.Repository}} {{.ID}}")
		cmd.Env = c.env
		out, _ := cmd.Output()
		for line := range strings.Lines(string(out)) {
			repository, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasPrefix(repository, prefix) {
				cmd := exec.Command("docker", "rmi", "--force", id)
				cmd.Env = c.env
				_ = cmd.Run()
			}
		}
	})
	return c
}

// pull fetches the image of one platform.
func (c container) pull(t *testing.T, platform, image string) {
	t.Helper()
	run(t, "", c.env, c.program, "pull", "--quiet", "--platform="+platform, image)
}

// run runs a container without networks of an image that the engine has, and
// returns its output. Arguments before the image's name are flags.
func (c container) run(t *testing.T, args ...string) string {
	t.Helper()
	flags := append(slices.Clone(c.flags), "run", "--rm", "--network=none", "--pull=never")
	return strings.TrimSpace(run(t, "", c.env, c.program, append(flags, args...)...))
}

// sh runs a script by the base's shell.
func (c container) sh(t *testing.T, platform, image, script string) string {
	t.Helper()
	return c.run(t, "--platform="+platform, "--entrypoint=/bin/sh", image, "-c", script)
}

// wantText fails unless the text is what is wanted.
func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}
