package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// The load: 30 images of three mains for four platforms, each image of a
// platform with a quarter of a megabyte of its own. So little is compiled, and
// much is assembled and published: 120 images of three layers.
const (
	loadImages = 30
	loadMains  = 3
	loadFile   = 256 << 10
)

var loadPlatforms = []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"}

// loadMagefile has the images' names in a loop, as a project of that size
// would.
const loadMagefile = `//go:build mage

package main

import (
	"fmt"

	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	targets.Project.Platforms = []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"}
	for i := range 30 {
		targets.Project.Images = append(targets.Project.Images, buildlib.Image{
			Name:     fmt.Sprintf("image%02d", i),
			Binaries: []string{fmt.Sprintf("main%d", i%3)},
			Files:    []buildlib.File{{Source: fmt.Sprintf("data/image%02d-{{.Arch}}", i), Path: "/data"}},
		})
	}
}
`

// memoryBound is for the magefile's own process, whatever number of images.
const memoryBound = 300 << 20

// TestLoad publishes many images in one run, within bounds of memory.
func TestLoad(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads the memory of processes from /proc")
	}
	proxy := testenv.NewProxy(t, testenv.Registry(t, testenv.RegistryOptions{}).Host)
	e := newLoad(t)
	e.env = append(e.env, "MULTIMAGE_REGISTRIES="+proxy.Host+"/acme", "MULTIMAGE_TAGS=latest")
	mage := filepath.Join(t.TempDir(), "images")
	e.run(t, "go", "tool", "mage", "-compile", mage)

	own, child := e.measured(t, mage, "manifest")
	requests := proxy.Requests()
	sent, bytes := uploads(requests)
	t.Logf("%d requests, %d blobs, %.1f MB; peak memory: magefile %.1f MB, largest child (%s) %.1f MB; at most %d uploads open",
		len(requests), len(sent), float64(bytes)/1e6, float64(own)/1e6, child.name, float64(child.peak)/1e6, proxy.Uploads.Most)
	if own == 0 || own > memoryBound {
		t.Errorf("the magefile took %d bytes of memory, want at most %d", own, int64(memoryBound))
	}
	// Files' layers and configs are each image's own; binaries and CA roots go
	// to one repository, and are mounted in the others. SBOM and provenance are
	// of each image and index, and have one empty config.
	images := loadImages * len(loadPlatforms)
	if want := images*2 + loadMains*len(loadPlatforms) + 1 + (images+loadImages)*2 + 1; len(sent) != want {
		t.Errorf("%d blobs were sent, want %d", len(sent), want)
	}
	for blob, n := range sent {
		if n.all != 1 {
			t.Errorf("blob %s was sent %d times", blob, n.all)
		}
	}
	tagAfterAll(t, requests)
	for i := range loadImages {
		if err := validate.Index(testenv.Pull(t, fmt.Sprintf("%s/acme/image%02d:latest", proxy.Host, i)), validate.Fast); err != nil {
			t.Errorf("image %d: %v", i, err)
		}
	}

	proxy.Requests()
	again, _ := e.measured(t, mage, "manifest")
	requests = proxy.Requests()
	t.Logf("again: %d requests; peak memory: magefile %.1f MB", len(requests), float64(again)/1e6)
	// docker-registry lacks the referrers API: what is attached takes two.
	if len(requests) != 1+3*loadImages {
		t.Errorf("%d requests where nothing was to be done, want one and three for each image", len(requests))
	}
}

// newLoad writes the project.
func newLoad(t *testing.T) *example {
	t.Helper()
	e := newExample(t, "hello", filepath.Join(t.TempDir(), "load"))
	if err := os.RemoveAll(filepath.Join(e.dir, "magefiles")); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(e.dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(e.dir, "magefiles", "magefile.go"), loadMagefile)
	for i := range loadMains {
		writeFile(t, filepath.Join(e.dir, "cmd", fmt.Sprint("main", i), "main.go"), fmt.Sprintf("package main\n\nfunc main() { println(%d) }\n", i))
	}
	random := rand.NewChaCha8([32]byte{})
	data := make([]byte, loadFile)
	for i := range loadImages {
		for _, platform := range loadPlatforms {
			arch := strings.Split(platform, "/")[1]
			_, _ = random.Read(data)
			writeFile(t, filepath.Join(e.dir, "data", fmt.Sprintf("image%02d-%s", i, arch)), string(data))
		}
	}
	e.commit(t)
	return e
}

// process is what was seen of a child.
type process struct {
	name string
	peak int64 // bytes of resident memory
}

// measured runs a program that must succeed, and returns the peaks of resident
// memory, in bytes: its own, and that of the largest of its descendants.
// What the kernel hands to wait(2) won't do: it has the parent's peak in it.
func (e *example) measured(t *testing.T, program string, args ...string) (own int64, child process) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = e.dir, e.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
			}
			return own, child
		case <-tick.C:
			tree := descendants(cmd.Process.Pid)
			for i, pid := range tree {
				p := peak(pid)
				if i == 0 {
					own = max(own, p.peak)
				} else if p.peak > child.peak {
					child = p
				}
			}
		}
	}
}

// descendants are the process itself, and then those below it.
func descendants(root int) []int {
	entries, _ := os.ReadDir("/proc")
	children := map[int][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// proc(5): the name, which may have spaces, is in parentheses.
		stat, _ := os.ReadFile("/proc/" + entry.Name() + "/stat")
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// peak reads the most memory that a process ever had; 0 if it has ended.
func peak(pid int) (p process) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "Name":
			p.name = strings.TrimSpace(value)
		case "VmHWM":
			kilobytes, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			p.peak = kilobytes << 10
		}
	}
	return p
}
