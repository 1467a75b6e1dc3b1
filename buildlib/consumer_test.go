package buildlib

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxModules is how many other modules a project may get by using multimage,
// multimage itself and mage among them.
const maxModules = 16

// A magefile compiles, and a project's go.mod names, all that multimage needs:
// a dependency that brings ten others is paid for by everybody.
//
// What is counted is what a consumer gets: the requirements in its go.mod,
// and the modules that its magefile's packages come from. go list -m all
// prints 50 more, those that only the go.mod files of dependencies name
// (ggcr's tests and commands): module graph pruning keeps them out of go.mod,
// and nobody downloads more of them than the go.mod.
func TestConsumerSize(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums := read(t, filepath.Join(root, "go.sum"))
	for name, content := range map[string]string{
		"go.mod": "module example.com/consumer\n\ngo 1.26.0\n\ntool github.com/magefile/mage\n\n" +
			"require github.com/multimage/multimage v0.0.0\n\nreplace github.com/multimage/multimage => " + root + "\n",
		// A consumer would ask the checksum database once; these are its answers.
		"go.sum":                  sums,
		"magefiles/magefile.go":   "//go:build mage\n\npackage main\n\n//mage:import\nimport _ \"github.com/multimage/multimage/buildlib/targets\"\n",
		"cmd/server/main.go":      program,
		"cmd/server/main_test.go": "package main\n",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &said)
		}
		return out
	}
	run("mod", "tidy")
	var required []string
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(run("mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		required = append(required, r.Path)
	}
	compiled := strings.Fields(string(run("list", "-deps", "-tags=mage",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./magefiles", "github.com/magefile/mage")))
	slices.Sort(compiled)
	compiled = slices.Compact(compiled)
	for what, modules := range map[string][]string{"go.mod requires": required, "the magefile compiles": compiled} {
		t.Logf("%s %d modules: %s", what, len(modules), strings.Join(modules, " "))
		if len(modules) > maxModules {
			t.Errorf("%s %d modules, more than %d:\n%s", what, len(modules), maxModules, strings.Join(modules, "\n"))
		}
		for _, must := range []string{"github.com/multimage/multimage", "github.com/magefile/mage"} {
			if !slices.Contains(modules, must) {
				t.Errorf("%s no %s: the test looks at the wrong thing", what, must)
			}
		}
	}
}
