package buildlib

import (
	"encoding/json"
	"time"
)

// Plan is a resolved Project: every default filled, every name resolved, every
// template rendered. It is data that says all that will happen; print it, or
// run a stage of it.
//
// A stage runs the stages before it, and each runs once in a Plan's life: the
// second call of Images returns what the first did.
type Plan struct {
	Dir      string    `json:"-"` // the module's folder, absolute
	Output   string    `json:"-"` // where results go, absolute
	Cache    string    `json:"-"` // bases and layers, absolute
	Jobs     int       `json:"-"` // as in Overrides
	Version  string    `json:"version"`
	Revision string    `json:"revision,omitempty"` // the commit; empty without git
	Dirty    bool      `json:"dirty,omitempty"`    // tracked files differ from it
	Epoch    time.Time `json:"epoch"`              // the time that goes into images
	Go       Toolchain `json:"go"`
	// Unversioned is set if there is no git and no version was given, so
	// that Version is "dev" and Manifest pushes nowhere.
	Unversioned bool `json:"unversioned,omitempty"`
	// AllowDirty is set if tags that don't tell of a Dirty checkout are
	// published from one all the same.
	AllowDirty bool `json:"allowDirty,omitempty"`
	// Insecure are the registries that may speak plain HTTP.
	Insecure   []string    `json:"insecure,omitempty"`
	Compiles   []Compile   `json:"compiles"`
	ImagePlans []ImagePlan `json:"images"`
	// BenchPlan is what Bench measures.
	BenchPlan BenchPlan `json:"-"`
	// Runners are the CI runners of platforms that have one of their own.
	Runners map[string]string `json:"runners,omitempty"`
	// Ignored is what Files leave out of the project, wherever it is.
	Ignored []string `json:"ignored,omitempty"`
	// Skipped are the binaries and images that Overrides leave no platform.
	Skipped []string `json:"skipped,omitempty"`
	// Warnings are for the user to read.
	Warnings []string `json:"warnings,omitempty"`

	// Progress is called as work goes on, from several goroutines at once.
	// Nil: nobody looks.
	Progress func(Event) `json:"-"`

	run    runState
	module moduleFiles
	absent []*absent
	// What Overrides narrow the plan to.
	fewerPlatforms bool
	onlyImages     []string // nil: all
}

// Toolchain is the go command that builds.
type Toolchain struct {
	Version string `json:"version"`         // like go1.26.8
	Flags   string `json:"flags,omitempty"` // GOFLAGS in effect
	// Experiment and FIPS140 are GOEXPERIMENT and GOFIPS140 in effect.
	Experiment string `json:"experiment,omitempty"`
	FIPS140    string `json:"fips140,omitempty"`
	Root       string `json:"-"` // GOROOT
}

// Compile is one call of go build: main packages of one platform that are
// built alike, under names that don't collide.
type Compile struct {
	Platform string   `json:"platform"` // OS/ARCH[/VARIANT]
	Env      []string `json:"env"`      // over the environment's own
	Args     []string `json:"args"`     // of go build, but -o and the packages
	Mains    []Main   `json:"mains"`

	folder string // below the kept folder
	manner string // how packages are compiled, as GoBuild.manner
}

// Main is one main package of a Compile.
type Main struct {
	Binary  string `json:"binary"`  // the Binary's name
	Package string `json:"package"` // import path
	Output  string `json:"output"`  // the executable, relative to Plan.Output

	file string // what go calls it
}

// ImagePlan is one image to be: an index with an image per platform.
type ImagePlan struct {
	Name string `json:"name"`
	// Repositories are the registries' names for it; none without registries.
	Repositories []string          `json:"repositories,omitempty"`
	Tags         []string          `json:"tags,omitempty"`
	EmptyTags    []string          `json:"emptyTags,omitempty"` // the templates that rendered empty
	Annotations  map[string]string `json:"annotations"`         // of the index
	Platforms    []PlatformPlan    `json:"platforms"`

	build string // as RecordGo's
}

// PlatformPlan is an image's share for one platform.
type PlatformPlan struct {
	Platform    string            `json:"platform"`
	Base        string            `json:"base"` // a reference, oci:PATH or scratch
	Binaries    []PlacedBinary    `json:"binaries"`
	Files       []File            `json:"files,omitempty"`
	WorkDir     string            `json:"workDir,omitempty"`
	User        User              `json:"user"`
	Entrypoint  []string          `json:"entrypoint"` // nil: the first binary; empty: the base's
	Cmd         []string          `json:"cmd"`
	Env         []string          `json:"env,omitempty"`
	Ports       []string          `json:"ports,omitempty"`
	Volumes     []string          `json:"volumes,omitempty"`
	StopSignal  string            `json:"stopSignal,omitempty"`
	CACerts     bool              `json:"caCerts,omitempty"`
	TZData      bool              `json:"tzData,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"` // of the manifest
}

// PlacedBinary is a binary and its path in an image.
type PlacedBinary struct {
	Binary string `json:"binary"`
	Path   string `json:"path"`
}

// scratch is the base that is none.
const scratch = "scratch"

// MarshalJSON makes a Plan printable as data. What names this machine's
// folders is left out, so that equal plans print equally everywhere.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type plain Plan
	return json.Marshal((*plain)(p))
}
