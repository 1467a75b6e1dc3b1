package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/emulate"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestOtherHost has one platform's image made on a machine with another
// processor: the magefile, the go command, the compiler and the linker are
// arm64 programs. Merged with the other platform's from here, it gives the
// index that this machine makes alone, so that any runner may stand in for
// another.
//
// QEMU takes minutes for the standard library, so that the packages which the
// program needs come from a build cache that this machine wrote: the runtime, for
// it imports nothing. The go command of one version takes them for its own on any
// host. What is made there is the program's package, the executable and the image.
func TestOtherHost(t *testing.T) {
	t.Parallel()
	const host, there, here = "arm64", "linux/arm64", "linux/amd64"
	if runtime.GOARCH == host {
		t.Skip("this machine is what the test emulates")
	}
	testenv.Slow(t)
	testenv.Binfmt(t, host)
	p := newTinyProject(t, buildlib.Project{}, map[string]string{
		"cmd/bare/main.go": "package main\n\nfunc main() { println(\"its packages\") }\n",
	})
	empty := t.TempDir()
	buildCache := "MULTIMAGE_BUILD_CACHE=" + testenv.MemoryRegistry(t) + "/cache"
	run(t, p.dir, append(p.env, buildCache, "MULTIMAGE_BUILD_CACHE_WRITE=1", "GOCACHE="+t.TempDir(), "MULTIMAGE_PLATFORMS="+there), p.tool, "binaries")
	writeFile(t, filepath.Join(p.dir, "cmd", "bare", "main.go"), "package main\n\nfunc main() { println(\"hello\") }\n")
	alone, shared := testenv.MemoryRegistry(t)+"/acme", testenv.MemoryRegistry(t)+"/acme"
	records := t.TempDir() // of all machines
	mage := func(tool string, env []string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir, cmd.Env = p.dir, append(p.env, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
		took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		t.Logf("%s %s: %.0f s of processor time\n%s", args[0], env[0], took.Seconds(), out)
	}
	mage(p.tool, []string{"MULTIMAGE_REGISTRIES=" + alone}, "manifest")

	tool := filepath.Join(t.TempDir(), "tool")
	run(t, p.dir, append(p.env, "CGO_ENABLED=0"), p.mage, "-compile", tool, "-goos", "linux", "-goarch", host)
	for platform, tool := range map[string]string{here: p.tool, there: tool} {
		output := filepath.Join(records, strings.ReplaceAll(platform, "/", "-"))
		env := []string{
			"MULTIMAGE_PLATFORMS=" + platform, "MULTIMAGE_REGISTRIES=" + shared, "MULTIMAGE_OUTPUT=" + output,
			"MULTIMAGE_CACHE=" + t.TempDir(),
		}
		if platform == there {
			env = append(append(env, "GOCACHE="+empty, buildCache), otherGo(t, host)...)
		}
		mage(tool, env, "ci:push")
	}
	mage(p.tool, []string{"MULTIMAGE_REGISTRIES=" + shared}, "ci:merge", records)
	if n := compiledIn(t, empty); n != 1 {
		t.Errorf("%d packages were compiled on %s, want one: the program", n, host)
	}

	want, err := testenv.Pull(t, alone+"/bare:v0").Digest()
	if err != nil {
		t.Fatal(err)
	}
	index := testenv.Pull(t, shared+"/bare:v0")
	if got, err := index.Digest(); err != nil || got != want {
		t.Errorf("%s made on %s: the index is %v (%v), want %v", there, host, got, err, want)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
}

// compiledIn counts the packages that go compiled into a GOCACHE: entries that come
// from a build cache have no time.
func compiledIn(t *testing.T, gocache string) (n int) {
	t.Helper()
	actions, err := filepath.Glob(filepath.Join(gocache, "*", "*-a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range actions {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(data)) // v1, action, output, size, time
		if len(f) != 5 || f[4] == "0" {
			continue
		}
		data, err = os.ReadFile(filepath.Join(gocache, f[2][:2], f[2]+"-d"))
		if err == nil && strings.HasPrefix(string(data), "!<arch>") {
			n++
		}
	}
	return n
}

// otherGo is the environment of another processor's Go, of the version that
// runs here.
func otherGo(t *testing.T, arch string) []string {
	t.Helper()
	platform := v1.Platform{OS: "linux", Architecture: arch}
	emulator, err := emulate.Find(t.Context(), platform)
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(run(t, "", os.Environ(), "go", "env", "GOROOT"))
	toolchain, err := emulate.Options{
		Root: root, Version: runtime.Version(), Cache: t.TempDir(), Log: t.Logf,
	}.Toolchain(t.Context(), platform, emulator)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s", toolchain.Origin, emulator)
	return []string{
		"PATH=" + filepath.Join(toolchain.Root, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GOROOT=", "GOTOOLCHAIN=local",
	}
}
