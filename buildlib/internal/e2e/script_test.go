package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "shared")
	if err != nil {
		panic(err)
	}
	programs, exampleMagefiles = filepath.Join(dir, "programs"), filepath.Join(dir, "magefiles")
	status := testenv.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// TestScript runs the real mage on real projects, as testdata/script has them.
// What scripts can do beyond testscript's own commands stands in
// scriptcmd_test.go.
func TestScript(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	mage := buildMage(t)
	setup := build(t, "setup", "github.com/multimage/multimage/buildlib/setup")
	magefiles := compileMagefiles(t, mage, root)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join(root, "testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                commands,
		Condition: func(name string) (bool, error) {
			if name != "time" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return testenv.Required("time"), nil
		},
		Setup: func(env *testscript.Env) error {
			for key, value := range goEnv() {
				env.Setenv(key, value)
			}
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_CONFIG_HOME", home) // go env -w writes below it
			env.Setenv("DOCKER_CONFIG", filepath.Join(home, "docker"))
			env.Setenv("XDG_RUNTIME_DIR", "")
			env.Setenv("MULTIMAGE", root)
			// What compiles a magefile, and when, is some scripts' subject:
			// these unset both, as users have them.
			env.Setenv("MAGEFILE_CACHE", magefiles)
			env.Setenv("MAGEFILE_HASHFAST", "1")
			env.Setenv("MULTIMAGE_CACHE", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("PATH", strings.Join([]string{filepath.Dir(mage), filepath.Dir(setup), env.Getenv("PATH")}, string(os.PathListSeparator)))
			for _, v := range gitEnv(env.WorkDir) {
				key, value, _ := strings.Cut(v, "=")
				env.Setenv(key, value)
			}
			env.Values[stateKey{}] = &state{tb: env.T().(testing.TB)}
			return makeHome(home)
		},
	})
}

// programs is the folder of what tests share: linking takes seconds.
var programs string

// links are the links of programs, by their names.
var links sync.Map

// program returns the path of a program that the first test which asks for it
// links.
func program(t *testing.T, name string, link func(path string) *exec.Cmd) string {
	t.Helper()
	path := filepath.Join(programs, name, name+testenv.Exe)
	once, _ := links.LoadOrStore(name, sync.OnceValue(func() error {
		if out, err := link(path).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return path
}

// buildMage builds the mage that go.mod names.
func buildMage(t *testing.T) string {
	t.Helper()
	return build(t, "mage", "github.com/magefile/mage")
}

// build builds a program of this module, or of one that it requires.
func build(t *testing.T, name, pkg string) string {
	t.Helper()
	return program(t, name, func(path string) *exec.Cmd { return exec.Command("go", "build", "-o", path, pkg) })
}

// compileMagefiles compiles the magefiles that most scripts have, and returns
// the folder where mage finds them by their content. Linking one takes longer
// than most of what a script does with it, and so does go's look at all of its
// packages before each run.
func compileMagefiles(t *testing.T, mage, root string) string {
	t.Helper()
	cache, home := t.TempDir(), t.TempDir()
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	files, err := goModule(root, "magefiles")
	if err != nil {
		t.Fatal(err)
	}
	files["project.json"] = "{}"
	env := append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "MAGEFILE_CACHE="+cache)
	for key, value := range goEnv() {
		env = append(env, key+"="+value)
	}
	for _, magefile := range []string{shortestMagefile, jsonMagefile} {
		dir := t.TempDir()
		files["magefiles/magefile.go"] = magefile
		for name, content := range files {
			writeFile(t, filepath.Join(dir, name), content)
		}
		run(t, dir, env, mage, "-l")
	}
	return cache
}

// makeHome makes a folder for HOME and XDG_CONFIG_HOME in which go writes no
// telemetry: it does so behind its own end, when the folder is being removed.
func makeHome(home string) error {
	mode := filepath.Join(home, "go", "telemetry", "mode")
	if err := os.MkdirAll(filepath.Dir(mode), 0o755); err != nil {
		return err
	}
	return os.WriteFile(mode, []byte("off 2026-01-01"), 0o644)
}

// goEnv is what scripts take over of this machine's go: where its caches and
// modules are. HOME is their own, and GOFLAGS isn't set.
var goEnv = sync.OnceValue(func() map[string]string {
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN", "CGO_ENABLED").Output()
	if err != nil {
		panic(err)
	}
	env := map[string]string{}
	if err := json.Unmarshal(out, &env); err != nil {
		panic(err)
	}
	env["GOFLAGS"] = ""
	return env
})

// gitEnv is a git without this machine's configuration and identity, whose
// commits are the same each time.
func gitEnv(work string) []string {
	return []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CEILING_DIRECTORIES=" + filepath.Dir(work),
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
		"GIT_CONFIG_KEY_1=protocol.file.allow", "GIT_CONFIG_VALUE_1=always",
	}
}
