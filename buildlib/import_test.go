package buildlib

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/multimage/multimage/"

// listed is what go list says of a package.
type listed struct {
	ImportPath, Name, Dir string
	GoFiles               []string
	Imports               []string
	Deps                  []string

	system string // whose files it has
}

// list lists the packages of this module, on all systems that have files of
// their own.
func list(t *testing.T) []listed {
	t.Helper()
	all, err := listOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var listOnce = sync.OnceValues(func() ([]listed, error) {
	var all []listed
	for _, system := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports,Deps", "./...")
		cmd.Env = append(os.Environ(), "GOOS="+system)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", system, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p listed
			if err := d.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				return nil, err
			}
			p.system = system
			all = append(all, p)
		}
	}
	return all, nil
})

// Imports go targets -> bench -> buildlib -> internal: a stage that knows another, or a
// library that knows mage, can't be used without it.
func TestImportDirections(t *testing.T) {
	stages := []string{"gotool", "gocache", "modcache", "base", "packages/distro", "rootfs", "image", "registry", "runtime", "git", "measure", "emulate", "report", "evidence", "pin"}
	stage := func(importPath string) string {
		name := strings.TrimPrefix(strings.TrimPrefix(importPath, module+"buildlib/bench/internal/"), module+"buildlib/internal/")
		if slices.Contains(stages, name) {
			return name
		}
		return ""
	}
	all := list(t)
	for _, name := range stages {
		if !slices.ContainsFunc(all, func(p listed) bool { return stage(p.ImportPath) == name }) {
			t.Errorf("there is no stage %s: does this test still look at the right ones?", name)
		}
	}
	for _, p := range all {
		inside := strings.TrimPrefix(p.ImportPath, module)
		for _, dep := range p.Deps {
			// mg.Namespace is what mage knows a namespace by.
			if strings.HasPrefix(dep, "github.com/magefile/mage") && (inside != "buildlib/targets" || dep != "github.com/magefile/mage/mg") {
				t.Errorf("%s depends on %s: only targets is mage's, and needs no more of it than mg", inside, dep)
			}
			if dep == "testing" && !strings.HasSuffix(inside, "/testenv") {
				t.Errorf("%s depends on package testing", inside)
			}
			// Each would bring a hundred packages into every magefile.
			for _, heavy := range []string{"github.com/google/go-containerregistry/pkg/v1/daemon", "github.com/docker/docker/", "github.com/moby/moby/", "github.com/moby/buildkit/", "go.opentelemetry.io/", "k8s.io/"} {
				if strings.HasPrefix(dep, heavy) && !strings.HasSuffix(inside, "/testenv") {
					t.Errorf("%s depends on %s", inside, dep)
				}
			}
		}
		for _, i := range p.Imports {
			to := strings.TrimPrefix(i, module)
			switch {
			case to == i: // another module's
			case strings.HasSuffix(to, "/testenv") && inside != to:
				t.Errorf("%s imports %s, which is for tests", inside, to)
			case strings.HasPrefix(inside, "buildlib/internal/") && !strings.HasPrefix(to, "buildlib/internal/"):
				t.Errorf("%s imports %s: imports go inwards", inside, to)
			case strings.HasPrefix(inside, "buildlib/bench/internal/") && !strings.HasPrefix(to, "buildlib/bench/internal/") && !strings.HasPrefix(to, "buildlib/internal/"):
				t.Errorf("%s imports %s: imports go inwards", inside, to)
			case !strings.HasPrefix(inside, "buildlib/bench") && inside != "buildlib/targets" && strings.HasPrefix(to, "buildlib/bench"):
				t.Errorf("%s imports %s: the benchmark lies beside the core, not in it", inside, to)
			case (inside == "buildlib" || inside == "buildlib/bench") && to == "buildlib/targets":
				t.Errorf("%s imports %s: imports go inwards", inside, to)
			case inside == "buildlib/targets" && stage(i) != "":
				t.Errorf("%s runs the stage %s itself: package buildlib does", inside, to)
			case stage(p.ImportPath) == "report" && stage(i) == "measure": // a report is of measurements
			case stage(p.ImportPath) != "" && stage(i) != "":
				t.Errorf("stage %s imports stage %s", stage(p.ImportPath), stage(i))
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range list(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}, p.Name) {
			t.Errorf("package %s says nothing of what is in it", p.ImportPath)
		}
		if p.Name != path.Base(p.ImportPath) && p.Name != "main" {
			t.Errorf("package %s is named %s", p.ImportPath, p.Name)
		}
	}
}

// An environment variable that is read in five places can't be documented, nor
// be overridden by a program: package targets reads them, once.
func TestOnlyTargetsReadsTheEnvironment(t *testing.T) {
	// What a variable is called may be said everywhere. These files read the
	// environment of the ecosystem, and nothing of ours.
	reads := []string{"os.Getenv(", "os.LookupEnv(", "os.ExpandEnv("}
	for _, p := range list(t) {
		inside := strings.TrimPrefix(p.ImportPath, module)
		if inside == "buildlib/targets" || strings.HasSuffix(inside, "/testenv") {
			continue
		}
		for _, name := range p.GoFiles {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(source), "\n") {
				if code, _, _ := strings.Cut(line, "//"); strings.Contains(code, "MULTIMAGE_") || regexp.MustCompile(`\bci:(push|merge|matrix)`).MatchString(code) {
					t.Errorf("%s/%s:%d: only targets names variables and targets: %s", inside, name, i+1, strings.TrimSpace(line))
				}
			}
			for _, read := range reads {
				for _, after := range strings.Split(string(source), read)[1:] {
					argument, _, _ := strings.Cut(after, ")")
					if !strings.HasPrefix(argument, `"`) || strings.HasPrefix(argument, `"MULTIMAGE_`) {
						t.Errorf("%s/%s: %s%s): only targets reads MULTIMAGE_ variables", inside, name, read, argument)
					}
				}
			}
		}
	}
}
