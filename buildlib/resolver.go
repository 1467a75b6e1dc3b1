package buildlib

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// resolver holds what is known while a Project becomes a Plan.
type resolver struct {
	project      Project
	overrides    Overrides
	plan         *Plan
	tool         gotool.Go
	env          gotool.Env
	git          git.Info
	defaults     []Platform // of binaries and images that name none
	skipped      []binary   // those that have no platform left because of Overrides
	ports        []string   // the OS/ARCH pairs that go builds for
	facts        Facts      // without a platform
	mistakes     []error
	badTemplates map[string]bool // fields with a wrong template; their other mistakes aren't noted
	unsure       bool            // whether binaries may be missing because of a mistake
}

func (r *resolver) warn(format string, args ...any) {
	r.plan.Warnings = append(r.plan.Warnings, fmt.Sprintf(format, args...))
}

// absolute returns path if it is absolute, else joined to dir.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// duplicates returns the values that occur in list more than once.
func duplicates(list []string) []string {
	var twice []string
	for i, s := range list {
		if slices.Contains(list[:i], s) && !slices.Contains(twice, s) {
			twice = append(twice, s)
		}
	}
	return twice
}

// moduleDir returns the folder of the module that dir is in: dir or its nearest parent
// with a go.mod. Without any it is dir.
func moduleDir(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

var defaultPlatforms = []string{"linux/amd64", "linux/arm64"}

// name is the name of a binary as far as its fields tell.
func (b Binary) name() string { return cmp.Or(b.Name, gotool.ExecutableName(b.Package)) }

// binary is a resolved Binary.
type binary struct {
	Binary
	field      string // of the Project, for mistakes
	importPath string
	module     string  // the module's folder relative to the plan's, if it is another one
	build      GoBuild // its own with the Project's as defaults; templates aren't executed
	platforms  []Platform
	cgo        bool // whether it was found with files that import "C"
	skipped    bool // whether Overrides leave it no platform; platforms are then its own
}

func (b binary) String() string { return b.Name }

func (b binary) on(p Platform) bool { return slices.Contains(b.platforms, p) }
