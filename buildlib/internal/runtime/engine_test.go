package runtime

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// fake puts a shell script on PATH as the program, and nothing else.
func fake(t *testing.T, programs map[string]string) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no shell scripts on Windows")
	}
	dir = t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

func TestFindEngine(t *testing.T) {
	for _, test := range []struct {
		name     string
		programs map[string]string
		engine   string
		platform string
		err      string
	}{
		{"docker", map[string]string{"docker": "echo linux/amd64"}, "docker", "linux/amd64", ""},
		{"docker on arm", map[string]string{"docker": `case $1 in version) echo linux/arm;; info) echo armv7l;; esac`}, "docker", "linux/arm/v7", ""},
		{"docker without daemon", map[string]string{
			"docker": "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
			"podman": "echo linux/arm64"}, "podman", "linux/arm64", ""},
		{"podman on arm", map[string]string{"podman": `case $3 in *Variant*) echo v6;; *) echo linux/arm;; esac`}, "podman", "linux/arm/v6", ""},
		{"podman as docker", map[string]string{"docker": "echo '<nil>/<nil>'", "podman": "echo linux/amd64"}, "podman", "linux/amd64", ""},
		{"none", nil, "", "", "no container engine answers: docker is not installed; podman is not installed; start Docker"},
		{"none answers", map[string]string{"docker": "echo no daemon >&2; exit 1", "podman": "echo broken >&2; exit 125"}, "", "",
			"docker version: no daemon (exit status 1); podman info: broken (exit status 125)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake(t, test.programs)
			e, err := FindEngine(t.Context())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Name != test.engine || e.Platform.String() != test.platform {
				t.Errorf("got %s on %s", e.Name, e.Platform)
			}
		})
	}
}

func TestArchitecture(t *testing.T) {
	for machine, want := range map[string]string{
		"x86_64": "amd64/", "aarch64": "arm64/", "armv7l": "arm/v7", "armv6l": "arm/v6", "armv6hl": "arm/v6", "riscv64": "riscv64/", "s390x": "s390x/",
	} {
		if arch, variant := architecture(machine); arch+"/"+variant != want {
			t.Errorf("%s: %s/%s, want %s", machine, arch, variant, want)
		}
	}
}

func tags(t *testing.T, names ...string) []name.Tag {
	t.Helper()
	var all []name.Tag
	for _, n := range names {
		tag, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tag)
	}
	return all
}

func TestLoad(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "saved.tar")
	fake(t, map[string]string{"docker": fmt.Sprintf(`case $1 in
version) echo linux/amd64;;
load) cat >%s; echo "Loaded image: acme/app:v1"; echo "Loaded image: ghcr.io/acme/app:v1";;
esac`, saved)})
	e, err := FindEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared := testenv.RandomLayer(t, 500)
	img := testenv.Image(t, "amd64", shared, testenv.RandomLayer(t, 700), shared)
	hub, _ := name.NewRepository("docker.io/acme/app")
	got, err := e.Load(t.Context(), img, append(tags(t, "ghcr.io/acme/app:v1", "app:v1", "app"), hub.Tag("v1"))...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Names, []string{"acme/app:v1", "ghcr.io/acme/app:v1"}) || got.Note != "" {
		t.Errorf("loaded %+v", got)
	}
	if names := savedNames(t, saved); !slices.Equal(names, []string{"ghcr.io/acme/app:v1", "app:v1", "app:latest", "docker.io/acme/app:v1"}) {
		t.Errorf("names %q", names)
	}
	back, err := tarball.ImageFromPath(saved, &tags(t, "app:v1")[0])
	if err != nil {
		t.Fatal(err)
	}
	want, _ := img.ConfigName()
	if id, err := back.ConfigName(); err != nil || id != want {
		t.Errorf("got image %s (%v), want %s", id, err, want)
	}
}

func savedNames(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest.json" {
			var list []manifestJSON
			if err := json.NewDecoder(r).Decode(&list); err != nil {
				t.Fatal(err)
			}
			return list[0].RepoTags
		}
	}
}

// plainZstd is a layer of that type; only its uncompressed form is looked at.
type plainZstd struct{ v1.Layer }

func (plainZstd) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }
func (plainZstd) Compressed() (io.ReadCloser, error)  { return nil, errors.New("zstd was read") }

func TestArchiveDecompressesZstd(t *testing.T) {
	l := testenv.RandomLayer(t, 900)
	img := testenv.Image(t, "amd64", plainZstd{l})
	var out bytes.Buffer
	if err := writeArchive(t.Context(), &out, img, []string{"a:b"}); err != nil {
		t.Fatal(err)
	}
	h, _ := l.Digest()
	diff, _ := l.DiffID()
	for r := tar.NewReader(&out); ; {
		e, err := r.Next()
		if err != nil {
			t.Fatal("no such layer in the archive")
		}
		if e.Name == h.Hex+".tar" {
			if got, _, _ := v1.SHA256(r); got != diff {
				t.Errorf("got %s, want %s", got, diff)
			}
			return
		}
	}
}

func TestLoadFails(t *testing.T) {
	img := testenv.Image(t, "amd64", testenv.RandomLayer(t, 3<<20))
	start := time.Now()

	t.Run("engine", func(t *testing.T) {
		fake(t, map[string]string{"docker": `case $1 in version) echo linux/amd64;; load) echo "no space left" >&2; exit 1;; esac`})
		e, _ := FindEngine(t.Context())
		_, err := e.Load(t.Context(), img, tags(t, "a:b")...)
		if err == nil || !strings.Contains(err.Error(), "docker load: no space left (exit status 1)") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("image", func(t *testing.T) {
		dir := fake(t, map[string]string{"docker": `case $1 in version) echo linux/amd64;; load) cat >/dev/null; touch ${0%/*}/loaded;; esac`})
		e, _ := FindEngine(t.Context())
		broken := errors.New("layer is gone")
		_, err := e.Load(t.Context(), testenv.Image(t, "amd64", testenv.Broken(testenv.RandomLayer(t, 1000), broken)), tags(t, "a:b")...)
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "loaded")); err == nil {
			t.Error("the engine took in half an image")
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		dir := fake(t, map[string]string{"docker": `case $1 in version) echo linux/amd64;; load) (sleep 1; touch ${0%/*}/alive) & sleep 60;; esac`})
		e, _ := FindEngine(t.Context())
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupted := errors.New("interrupted")
		time.AfterFunc(50*time.Millisecond, func() { cancel(interrupted) })
		_, err := e.Load(ctx, img, tags(t, "a:b")...)
		if !errors.Is(err, interrupted) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Until(start.Add(1300 * time.Millisecond)))
		if _, err := os.Stat(filepath.Join(dir, "alive")); err == nil {
			t.Error("a child of the engine's command lives on")
		}
	})
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestLoadedByPodman(t *testing.T) {
	e := Engine{Name: "podman"}
	for _, output := range []string{
		"Loaded image: localhost/app:v1\nLoaded image: docker.io/acme/app:v1\n",
		"Getting image source signatures\nLoaded image(s): localhost/app:v1,docker.io/acme/app:v1\n",
	} {
		got := e.loaded(output, nil)
		if !slices.Equal(got.Names, []string{"localhost/app:v1", "docker.io/acme/app:v1"}) || !strings.Contains(got.Note, "podman run app:v1") {
			t.Errorf("%+v", got)
		}
	}
	if got := e.loaded("", []string{"a:b"}); !slices.Equal(got.Names, []string{"a:b"}) {
		t.Errorf("%+v", got)
	}
}

// The engines that answer on this machine take an image in.
func TestRealEngines(t *testing.T) {
	for _, program := range []string{"docker", "podman"} {
		t.Run(program, func(t *testing.T) {
			path, err := exec.LookPath(program)
			if err != nil {
				testenv.Missing(t, program, program+" is not installed")
			}
			dir := t.TempDir()
			if err := os.Symlink(path, filepath.Join(dir, program)); err != nil {
				t.Skip(err)
			}
			hidden := map[string]string{"docker": "podman", "podman": "docker"}[program]
			if err := os.WriteFile(filepath.Join(dir, hidden), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			e, err := FindEngine(t.Context())
			if err != nil {
				testenv.Missing(t, program, err.Error())
			}
			l, err := random.Layer(100, types.OCILayer)
			if err != nil {
				t.Fatal(err)
			}
			tag := fmt.Sprintf("multimage-test-%d:v1", os.Getpid())
			got, err := e.Load(t.Context(), testenv.Image(t, e.Platform.Architecture, l, l), tags(t, tag, "docker.io/multimage/test:v1")...)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s on %s: %+v", e.Name, e.Platform, got)
			defer exec.Command(path, append([]string{"rmi", "--force"}, got.Names...)...).Run()
			if len(got.Names) != 2 {
				t.Errorf("%+v", got)
			}
			for _, n := range got.Names {
				if out, err := exec.Command(path, "image", "inspect", n).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", n, err, out)
				}
			}
		})
	}
}
