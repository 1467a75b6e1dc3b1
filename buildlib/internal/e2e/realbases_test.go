package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// helloOnDockerfile has a base from a Dockerfile.
const helloOnDockerfile = `//go:build mage

package main

import (
	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	targets.Project = buildlib.Project{
		Tags:   []string{"1"},
		Images: []buildlib.Image{{Name: "hello", Base: "dockerfile:bases/tools"}},
	}
}
`

// newDockerfileBase is the example hello with a base from a Dockerfile, of which
// one stage is from a registry. run is an instruction, or empty.
func newDockerfileBase(t *testing.T, registry, run string) *example {
	t.Helper()
	e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
	for name, content := range map[string]string{
		"magefiles/magefile.go": helloOnDockerfile,
		"bases/tools/Dockerfile": "ARG BASE=" + registry + "/library/tiny:1\nFROM scratch AS tool\nCOPY tool /tool\n" +
			"FROM ${BASE}\nCOPY --from=tool /tool /etc/tool\nCOPY --from=" + registry + "/library/tiny:1 /etc/alpine-release /etc/from\n" +
			run + "ENV TOOL=yes\nUSER 7:8\n",
		"bases/tools/tool":          "a tool\n",
		"bases/tools/.dockerignore": "notes*\n",
		"bases/tools/notes.md":      "what is excluded changes nothing\n",
	} {
		writeFile(t, filepath.Join(e.dir, name), content)
	}
	e.commit(t)
	e.env = append(e.env, "MULTIMAGE_BASES="+registry+"/acme/bases", "MULTIMAGE_REGISTRIES="+registry+"/acme", "MULTIMAGE_ALLOW_DIRTY=1")
	return e
}

// withoutEngines has programs before the real ones that fail as engines do when
// they don't answer.
func withoutEngines(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		writeFile(t, filepath.Join(dir, name), "#!/bin/sh\necho $0 does not answer >&2\nexit 1\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// machines are what uname(1) calls them.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// TestDockerfileBase builds a base by each engine, finds it again without any, and
// runs an image on it.
func TestDockerfileBase(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"docker", "podman", "buildah"} {
		t.Run(engine, func(t *testing.T) {
			testenv.Require(t, engine)
			testenv.Binfmt(t)
			proxy := testenv.NewProxy(t, testenv.Registry(t, testenv.RegistryOptions{}).Host)
			base := testenv.Alpine(t)
			testenv.Push(t, proxy.Host+"/library/tiny:1", base.Index(t))
			e := newDockerfileBase(t, proxy.Host, "RUN uname -m >/etc/machine\n")
			docker := docker(t, proxy.Host)
			with := testenv.Docker(t)
			if engine != "docker" {
				if os.Getuid() != 0 {
					testenv.Missing(t, engine, "as another user than root it wants id ranges set up")
				}
				with = []string{"CONTAINERS_STORAGE_CONF=" + podmanStorage(t, "vfs"), "DOCKER_HOST=unix:///nobody", "BUILDAH_ISOLATION=chroot"}
			}
			if engine == "buildah" {
				logins := t.TempDir() // it wants the file of DOCKER_CONFIG to be there
				writeFile(t, filepath.Join(logins, "config.json"), "{}")
				with = append(with, withoutEngines(t, "docker", "podman"), "DOCKER_CONFIG="+logins)
			}
			built := e.mage(t, "base:build", with...)
			if len(built) != 1 || !strings.HasPrefix(built[0], proxy.Host+"/acme/bases:") {
				t.Fatalf("base:build prints %q", built)
			}

			nobody := withoutEngines(t, "docker", "podman", "buildah")
			proxy.Requests() // so far
			writeFile(t, filepath.Join(e.dir, "bases", "tools", "notes.md"), "other notes\n")
			if again := e.mage(t, "base:build", nobody); !slices.Equal(again, built) {
				t.Errorf("built again: %q, not %q", again, built)
			}
			_, key, _ := strings.Cut(built[0], "bases:")
			var asked []string
			for _, r := range proxy.Requests() {
				if r.What != "GET /v2/" {
					asked = append(asked, r.What)
				}
			}
			if want := []string{"HEAD manifests/1", "HEAD manifests/" + key}; !slices.Equal(asked, want) {
				t.Errorf("to find the base again, it asks the registry for %q, not %q", asked, want)
			}

			e.mage(t, "manifest", nobody)
			platform, ref := "linux/"+runtime.GOARCH, proxy.Host+"/acme/hello:1"
			docker.pull(t, platform, ref)
			wantText(t, ref, docker.sh(t, platform, ref, "cat /etc/tool /etc/machine /etc/from; echo $TOOL; id -u; id -g; hello --version"),
				"a tool\n"+machines[runtime.GOARCH]+"\n3.24.0\nyes\n7\n8\nhello dev "+platform+" "+runtime.Version())
		})
	}
}

// Two machines that lack the same base both end well, and with the same image.
func TestDockerfileBaseAtOnce(t *testing.T) {
	t.Parallel()
	host := testenv.Registry(t, testenv.RegistryOptions{}).Host
	docker(t, host)
	testenv.Push(t, host+"/library/tiny:1", testenv.Tiny().Index(t))
	machines := []*example{newDockerfileBase(t, host, ""), newDockerfileBase(t, host, "")}
	var wait sync.WaitGroup
	for _, e := range machines {
		e.env = append(e.env, testenv.Docker(t)...)
		wait.Go(func() {
			cmd := exec.CommandContext(t.Context(), "go", "tool", "mage", "base:build")
			cmd.Dir, cmd.Env = e.dir, e.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wait.Wait()
	var layers []string
	for _, e := range machines {
		e.mage(t, "manifest", withoutEngines(t, "docker", "podman", "buildah"))
		layers = append(layers, fmt.Sprint(e.images(t)[0].Platforms[0].Digest))
	}
	if layers[0] != layers[1] {
		t.Errorf("two machines made %q", layers)
	}
}

// What is wrong with a base from a Dockerfile is said with the way out.
func TestDockerfileBaseRefused(t *testing.T) {
	t.Parallel()
	host := testenv.Registry(t, testenv.RegistryOptions{}).Host
	docker(t, host)
	testenv.Push(t, host+"/library/tiny:1", testenv.Tiny().Index(t))
	e := newDockerfileBase(t, host, "")
	e.env = append(e.env, testenv.Docker(t)...)
	file := filepath.Join("bases", "tools", "Dockerfile")
	for _, test := range []struct {
		name, dockerfile, target string
		env, want                []string
	}{
		{"no repository", "FROM scratch\n", "images", []string{"MULTIMAGE_BASES="}, []string{"Bases: it is empty, and image hello, which is published, has the base dockerfile:bases/tools"}},
		{"bad repository", "FROM scratch\n", "images", []string{"MULTIMAGE_BASES=bases"}, []string{`MULTIMAGE_BASES: "bases" is not a repository`}},
		{"no engine", "FROM scratch\nCOPY tool /a\n", "images", []string{"PATH=" + onlyGo(t), "CGO_ENABLED=0"}, []string{
			"base dockerfile:bases/tools: it is not built yet", "docker is not installed", "Podman or Buildah; or run mage base:build where one is"}},
		{"named engine", "FROM scratch\nCOPY tool /a\n", "base:build", []string{"PATH=" + onlyGo(t), "CGO_ENABLED=0", "MULTIMAGE_ENGINE=buildah"}, []string{
			"it is not built yet, and MULTIMAGE_ENGINE: buildah is not installed"}},
		{"no Dockerfile", "", "plan", nil, []string{"Images.Base: dockerfile:bases/tools: the folder ", " has no Dockerfile"}},
		{"no FROM", "COPY tool /a\n", "plan", nil, []string{"COPY is before the first FROM"}},
		{"failing", "FROM scratch\nCOPY missing /a\n", "base:build", nil, []string{"base dockerfile:bases/tools: linux/amd64: docker build", "missing"}},
		{"no such FROM", "FROM " + host + "/library/none:1\nCOPY tool /a\n", "base:build", nil, []string{"line 1: base " + host + "/library/none:1: ", "not found in the registry"}},
		{"no platform", "FROM --platform=linux/s390x " + host + "/library/tiny:1\nCOPY tool /a\n", "base:build", nil, []string{"no linux/s390x (has linux/amd64"}},
		{"empty ARG", "ARG X\nFROM a$X$Y\nFROM $X\n", "base:build", nil, []string{"line 3: FROM $X names no image"}},
		{"outdated", "FROM scratch\nCOPY tool /b\n", "base:outdated", nil, []string{"2 bases and 0 packages are outdated: run mage base:build lock"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			writeFile(t, filepath.Join(e.dir, file), test.dockerfile)
			if test.dockerfile == "" {
				if err := os.Remove(filepath.Join(e.dir, file)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "go", "tool", "mage", test.target)
			cmd.Dir, cmd.Env = e.dir, append(slices.Clone(e.env), test.env...)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("no error:\n%s", out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q isn't in\n%s", want, out)
				}
			}
		})
	}
}

// Some registries refuse to tell of a repository that the first push makes. If we
// may push there, it is built; if not, nothing is.
func TestDockerfileBaseHidden(t *testing.T) {
	t.Parallel()
	for name, mayPush := range map[string]bool{"may push": true, "may not": false} {
		t.Run(name, func(t *testing.T) {
			proxy := testenv.NewProxy(t, testenv.Registry(t, testenv.RegistryOptions{}).Host)
			docker(t, proxy.Host)
			var begun atomic.Bool
			proxy.Answer(func(w http.ResponseWriter, r *http.Request) bool {
				begun.CompareAndSwap(false, mayPush && r.Method == http.MethodPut)
				if refused := strings.HasPrefix(r.URL.Path, "/v2/acme/bases/") && !begun.Load() && (!mayPush || r.Method == http.MethodGet || r.Method == http.MethodHead); !refused {
					return false
				}
				w.WriteHeader(http.StatusForbidden)
				return true
			})
			e := newDockerfileBase(t, proxy.Host, "")
			writeFile(t, filepath.Join(e.dir, "bases", "tools", "Dockerfile"), "FROM scratch\nCOPY tool /tool\n")
			cmd := exec.CommandContext(t.Context(), "go", "tool", "mage", "base:build")
			cmd.Dir, cmd.Env = e.dir, append(e.env, testenv.Docker(t)...)
			out, err := cmd.CombinedOutput()
			built := strings.Contains(string(out), "  docker  ")
			if (err == nil) != mayPush || built != mayPush || !mayPush && !strings.Contains(string(out), "403") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// onlyGo is a PATH with git and go, and nothing else.
func onlyGo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"git", "go"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
