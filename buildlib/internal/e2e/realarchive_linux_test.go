package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestArchive imports an archive into containerd and Podman, which both name what is
// in it.
func TestArchive(t *testing.T) {
	t.Parallel()
	ctr := testenv.Containerd(t)
	testenv.Require(t, "podman")
	p := newTinyProject(t, buildlib.Project{
		Registries: []string{"ghcr.io/acme", "docker.io/acme"}, Images: []buildlib.Image{{Name: "one"}},
	}, map[string]string{"cmd/one/main.go": "package main\n\nfunc main() { println(`one`) }\n"})
	run(t, p.dir, p.env, p.tool, "archive")
	const file = "dist/archive/one.tar"
	run(t, p.dir, nil, "ctr", slices.Concat(ctr, []string{"image", "import", "--all-platforms", "--no-unpack", file})...)
	list := run(t, "", nil, "ctr", append(ctr, "image", "check")...)
	for _, want := range []string{"docker.io/acme/one:v0", "ghcr.io/acme/one:v0"} {
		if line := lineWith(list, want); !strings.Contains(line, "complete") {
			t.Errorf("containerd has no whole %s:\n%s", want, list)
		}
	}

	// Podman 4 takes archives of one name only.
	run(t, p.dir, append(p.env, "MULTIMAGE_REGISTRIES=ghcr.io/acme"), p.tool, "archive")
	podman := container{program: "podman", flags: []string{"--cgroup-manager=cgroupfs"}, env: append(os.Environ(), "CONTAINERS_STORAGE_CONF="+podmanStorage(t, "vfs"))}
	loaded := run(t, p.dir, podman.env, "podman", "load", "--quiet", "--input", file)
	wantText(t, "podman load", strings.TrimSpace(loaded), "Loaded image: ghcr.io/acme/one:v0")
	podman.run(t, "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "ghcr.io/acme/one:v0")
}

func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}
