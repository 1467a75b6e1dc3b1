// Package gotool runs the go command: it asks about modules and packages, and
// builds into folders that are kept between runs.
//
// Its files, each knowing those before it: flags.go reads flags, platform.go has the
// environment of a platform, go.go runs the command and lists packages, module.go
// reads go.mod and go.work, cgo.go finds the files that are left out without cgo,
// binary.go checks executables, build.go builds, and inputs.go finds the files that
// a build reads.
package gotool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// Go is the go command, run in a module's folder.
type Go struct {
	Dir string
}

// command prepares a go command with env over the process's own environment.
// When ctx ends, it is killed with the compilers that it runs.
func (g Go) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := process.Command(ctx, "go", args...)
	cmd.Dir = g.Dir
	cmd.Env = append(process.Environ(), env...) // go asks git for modules and stamps
	if g.Dir != "" {
		// As a shell's cd does: go prints paths relative to PWD.
		cmd.Env = append(cmd.Env, "PWD="+g.Dir)
	}
	return cmd
}

// output runs a go command and returns what it printed. If the command fails, the
// error is a *process.Failure.
func (g Go) output(ctx context.Context, env []string, args ...string) ([]byte, error) {
	out, err := process.Output(ctx, g.command(ctx, env, args...))
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], installed(err))
	}
	return out, nil
}

// installed adds to an error what to do if there is no go command.
func installed(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install Go (https://go.dev/dl) or add it to PATH", err)
	}
	return err
}

// Env is what go env says in the module's folder.
type Env struct {
	Version string `json:"GOVERSION"` // like go1.26.8
	Root    string `json:"GOROOT"`
	Mod     string `json:"GOMOD"` // the go.mod file; empty or os.DevNull outside a module
	Work    string `json:"GOWORK"`
	Flags   string `json:"GOFLAGS"`
	// These also change a binary, and can come from the environment or go env -w.
	Experiment string `json:"GOEXPERIMENT"`
	FIPS140    string `json:"GOFIPS140"`
	ModCache   string `json:"GOMODCACHE"`
}

// Env asks the go command for its environment.
func (g Go) Env(ctx context.Context) (Env, error) {
	out, err := g.output(ctx, nil, "env", "-json", "GOVERSION", "GOROOT", "GOMOD", "GOWORK", "GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GOMODCACHE")
	if err != nil {
		return Env{}, err
	}
	var e Env
	if err := json.Unmarshal(out, &e); err != nil {
		return Env{}, fmt.Errorf("go env: %w", err)
	}
	return e, nil
}

// Cache asks the go command where its build cache is. The folder is empty if a
// program keeps it (GOCACHEPROG).
func (g Go) Cache(ctx context.Context) (folder string, err error) {
	out, err := g.output(ctx, nil, "env", "GOCACHEPROG", "GOCACHE")
	if err != nil {
		return "", err
	}
	program, folder, _ := strings.Cut(string(out), "\n")
	if strings.TrimSpace(program) != "" {
		return "", nil
	}
	return strings.TrimSpace(folder), nil
}

// Ports asks the go command which OS/ARCH pairs it builds for.
func (g Go) Ports(ctx context.Context) ([]string, error) {
	out, err := g.output(ctx, nil, "tool", "dist", "list")
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
}

// Fetch lists the packages that a build of the patterns needs, which downloads
// missing modules. (go mod download would also fetch what no package needs, and fails
// in a vendored module.)
func (g Go) Fetch(ctx context.Context, env, flags []string, patterns ...string) error {
	args := append([]string{"list", "-deps", "-f={{.ImportPath}}"}, listFlags(flags)...)
	_, err := g.output(ctx, env, append(append(args, "--"), patterns...)...)
	return err
}

// Package is a package for one platform, as go list -find prints it.
type Package struct {
	ImportPath     string
	Name           string // "main" for a command
	Dir            string
	Module         struct{ Path string }
	GoFiles        []string // without tests and those that import "C"
	CgoFiles       []string
	IgnoredGoFiles []string // left out by build constraints
	Error          *struct{ Err string }
}

// List lists the packages that patterns match, for builds with flags and env. What is
// wrong with a package is in its Error.
func (g Go) List(ctx context.Context, env, flags []string, patterns ...string) ([]Package, error) {
	args := append([]string{"list", "-find", "-e", "-json=ImportPath,Name,Dir,Module,GoFiles,CgoFiles,IgnoredGoFiles,Error"}, listFlags(flags)...)
	out, err := g.output(ctx, env, append(append(args, "--"), patterns...)...)
	if err != nil {
		return nil, err
	}
	return decode[Package](out)
}

// decode reads the objects that go list printed.
func decode[T any](out []byte) ([]T, error) {
	var list []T
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var one T
		if err := d.Decode(&one); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		list = append(list, one)
	}
}

// listFlags keeps the build flags that decide which files a package has.
func listFlags(flags []string) []string {
	var keep []string
	for i := 0; i < len(flags); i++ {
		switch FlagName(flags[i]) {
		case "modcacherw":
			keep = append(keep, flags[i])
		case "tags", "mod", "modfile", "overlay", "compiler", "pkgdir":
			keep = append(keep, flags[i])
			if !strings.Contains(flags[i], "=") && i+1 < len(flags) {
				i++
				keep = append(keep, flags[i])
			}
		}
	}
	return keep
}
