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
	project  Project
	over     Overrides
	plan     *Plan
	tool     gotool.Go
	env      gotool.Env
	git      git.Info
	defaults []Platform // the Project's platforms
	skipped  []binary   // those that Overrides leave no platform
	ports    []string   // what go builds for
	tags     Facts      // without a platform
	mistakes []error
	wrong    map[string]bool // fields whose templates have a mistake, which is all to say of them
	// unsure is set if mistakes may keep some of the binaries from being found.
	unsure bool
}

func (r *resolver) warn(format string, args ...any) {
	r.plan.Warnings = append(r.plan.Warnings, fmt.Sprintf(format, args...))
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

// moduleDir returns the folder of the module that dir is in: the nearest one
// upwards with a go.mod; dir itself if there is none.
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

// name is what a declared binary is called, as far as its fields say it.
func (b Binary) name() string { return cmp.Or(b.Name, gotool.ExecutableName(b.Package)) }

// binary is a resolved Binary.
type binary struct {
	Binary
	field      string // where the Project has it, for mistakes
	importPath string
	module     string  // its folder, relative to the plan's, if that is another module's
	build      GoBuild // the Project's and its own as one, templates unrendered
	platforms  []Platform
	cgo        bool // whether it has files that import "C", where it was found
	skipped    bool // Overrides leave it no platform: those are its own
}

func (b binary) String() string { return b.Name }

func (b binary) on(p Platform) bool { return slices.Contains(b.platforms, p) }
