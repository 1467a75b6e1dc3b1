package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestHello runs examples/hello, an image from scratch, on platforms that are
// not this machine's: there are TLS roots and time zones.
func TestHello(t *testing.T) {
	t.Parallel()
	registry := testenv.Registry(t, testenv.RegistryOptions{}).Host
	engine := docker(t, registry)
	testenv.Binfmt(t)
	e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
	e.env = append(e.env, "MULTIMAGE_REGISTRIES="+registry+"/acme", "MULTIMAGE_TAGS=latest",
		"MULTIMAGE_PLATFORMS="+strings.Join(allPlatforms, ","))
	e.mage(t, "manifest")

	ref := registry + "/acme/hello:latest"
	checked := regexp.MustCompile(`^TLS roots: [1-9][0-9]+\nEurope/Vienna: 14:00 CEST$`)
	for _, platform := range allPlatforms {
		engine.pull(t, platform, ref)
		// The example doesn't stamp its version.
		wantText(t, ref+" --version", engine.run(t, "--platform="+platform, ref, "--version"), "hello dev "+platform+" "+runtime.Version())
		if out := engine.run(t, "--platform="+platform, ref, "--check"); !checked.MatchString(out) {
			t.Errorf("%s: --check says\n%s", platform, out)
		}
	}
}

// helloOnMerged puts hello where a merged-/usr base has a link for /bin.
const helloOnMerged = `//go:build mage

package main

import (
	"os"

	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	targets.Project = buildlib.Project{
		Images: []buildlib.Image{{
			Name: "hello", Base: os.Getenv("HELLO_BASE"), BinDir: "/bin", WorkDir: "/lib/hello",
			User:  buildlib.User{Name: "hello"},
			Files: []buildlib.File{{Source: "go.mod", Path: "/sbin/go.mod"}},
		}},
	}
}
`

// TestMergedUsr adds to /bin, /sbin and /lib of a base where they are links.
func TestMergedUsr(t *testing.T) {
	t.Parallel()
	base := testenv.Alpine(t)
	base.Merged = true
	registry := testenv.Registry(t, testenv.RegistryOptions{}).Host
	engine := docker(t, registry)
	testenv.Push(t, registry+"/library/merged:1", base.Index(t))
	e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
	writeFile(t, filepath.Join(e.dir, "magefiles", "magefile.go"), helloOnMerged)
	e.commit(t)
	platform := "linux/" + runtime.GOARCH
	e.env = append(e.env, "HELLO_BASE="+registry+"/library/merged:1",
		"MULTIMAGE_REGISTRIES="+registry+"/acme", "MULTIMAGE_TAGS=latest", "MULTIMAGE_PLATFORMS="+platform)
	e.env = append(e.env, testenv.Docker(t)...)

	ref := registry + "/acme/hello:latest"
	if loaded := e.mage(t, "load"); !slices.Equal(loaded, []string{ref}) {
		t.Errorf("loaded %q", loaded)
	}
	wantText(t, ref, engine.sh(t, platform, ref, "for d in bin sbin lib; do readlink /$d; done; pwd; ls /sbin /usr/sbin; id -un; hello --version; /usr/bin/hello --version"),
		"usr/bin\nusr/sbin\nusr/lib\n/usr/lib/hello\n/sbin:\ngo.mod\n\n/usr/sbin:\ngo.mod\nhello\n"+
			"hello dev "+platform+" "+runtime.Version()+"\nhello dev "+platform+" "+runtime.Version())
}

// TestPodman loads an image where Docker doesn't answer, but Podman does.
func TestPodman(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "podman")
	if os.Getuid() != 0 {
		testenv.Missing(t, "podman", "as another user than root it wants id ranges set up")
	}
	// The driver vfs mounts nothing, so that running takes no privileges.
	storage := podmanStorage(t, "vfs")
	engine := container{
		program: "podman", flags: []string{"--cgroup-manager=cgroupfs"}, // systemd may not be there
		env: append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage),
	}

	e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
	e.env = append(e.env, "CONTAINERS_STORAGE_CONF="+storage, "DOCKER_HOST=unix://"+storage+".nobody")
	if loaded := e.mage(t, "load"); !slices.Equal(loaded, []string{"localhost/hello:v1.2.3"}) {
		t.Errorf("loaded %q", loaded)
	}
	// Podman raises the limits of containers, which not every root may.
	wantText(t, "podman run", engine.run(t, "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "hello:v1.2.3", "--version"), "hello dev linux/"+runtime.GOARCH+" "+runtime.Version())
}

// podmanStorage makes a storage of the test's own and returns its storage.conf.
func podmanStorage(t *testing.T, driver string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "podman-") // sockets below it want a short name
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "storage.conf")
	t.Cleanup(func() {
		unmount := exec.Command("umount", filepath.Join(dir, "graph", driver))
		_ = unmount.Run() // what Podman leaves bind-mounted on itself, if it does
		_ = os.RemoveAll(dir)
	})
	writeFile(t, conf, fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", driver, dir+"/graph", dir+"/run"))
	return conf
}
