package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestZstd publishes an image of zstd layers, which Podman pulls for two platforms,
// and loads it into whichever version of Docker there is.
func TestZstd(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "podman", "registry")
	if os.Getuid() != 0 {
		testenv.Missing(t, "podman", "as another user than root it wants id ranges set up")
	}
	testenv.Binfmt(t, "arm64")
	registry := testenv.Registry(t, testenv.RegistryOptions{}).Host
	p := newTinyProject(t, buildlib.Project{
		Registries: []string{registry + "/acme"}, Compression: "zstd", Images: []buildlib.Image{{Name: "one"}},
	}, map[string]string{"cmd/one/main.go": `package main

import (
	"os"
	"runtime"
)

func main() { os.Stdout.WriteString(runtime.GOARCH) }
`})
	run(t, p.dir, p.env, p.tool, "manifest")
	image := registry + "/acme/one:v0"
	index := testenv.Pull(t, image)
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) == 0 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		for i, l := range layers {
			if media, err := l.MediaType(); media != types.OCILayerZStd {
				t.Errorf("%v: layer %d is a %s, %v", d.Platform, i, media, err)
			}
		}
	}
	storage := podmanStorage(t, "vfs")
	podman := container{program: "podman", flags: []string{"--cgroup-manager=cgroupfs"}, env: append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage)}
	for _, arch := range []string{"amd64", "arm64"} {
		run(t, "", podman.env, "podman", "pull", "--quiet", "--tls-verify=false", "--platform=linux/"+arch, image)
		wantText(t, "podman, "+arch, podman.run(t, "--platform=linux/"+arch, "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", image), arch)
	}
	docker := docker(t, registry)
	run(t, p.dir, append(p.env, testenv.Docker(t)...), p.tool, "load")
	if arch := docker.run(t, image); !strings.Contains("amd64 arm64", arch) || arch == "" {
		t.Errorf("docker run printed %q", arch)
	}
}
