package buildlib

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Plan is a resolved Project: every default is filled in, every name resolved, every
// template rendered. It is data that describes everything that will happen: print it,
// keep it as JSON, or have a Builder carry it out. Dir, Output, Cache, Go and the
// benchmark's Baseline have paths of this machine.
type Plan struct {
	Dir      string    `json:"dir,omitempty"`    // the module's folder, absolute
	Output   string    `json:"output,omitempty"` // where results go, absolute
	Cache    string    `json:"cache,omitempty"`  // for bases and layers, absolute; Options may name another
	Version  string    `json:"version"`
	Revision string    `json:"revision,omitempty"` // the commit; empty without git
	Dirty    bool      `json:"dirty,omitempty"`    // tracked files differ from it
	Epoch    time.Time `json:"epoch"`              // the time that goes into images
	Checkout Checkout  `json:"checkout,omitzero"`
	Go       Toolchain `json:"go"`
	// Unversioned is set if there is no git and no version was given. Version is then
	// "dev", and Manifest publishes nothing.
	Unversioned bool `json:"unversioned,omitempty"`
	// AllowDirty is set if a Dirty checkout is published under all tags, even those that
	// don't say so.
	AllowDirty bool `json:"allowDirty,omitempty"`
	// Insecure are the registries that may speak plain HTTP.
	Insecure []string `json:"insecure,omitempty"`
	// Compression is that of layers: gzip or zstd. Zero: gzip.
	Compression string `json:"compression,omitempty"`
	// BuildCache is the repository of the Go build cache; empty without one.
	BuildCache string `json:"buildCache,omitempty"`
	// Bases is the repository of bases from Dockerfiles. Empty: they are kept in Output.
	Bases       string           `json:"bases,omitempty"`
	Dockerfiles []DockerfilePlan `json:"dockerfiles,omitempty"`
	Compiles    []Compile        `json:"compiles"`
	ImagePlans  []ImagePlan      `json:"images"`
	// Evidence and Sign are as the Project's; BuiltBy names the builder in
	// provenance.
	Evidence []string `json:"evidence,omitempty"`
	BuiltBy  string   `json:"builtBy,omitempty"`
	Sign     string   `json:"sign,omitempty"`
	// Smoke is as the Project's.
	Smoke SmokeTests `json:"smoke,omitzero"`
	// Render are the files to render for the published images.
	Render []Rendering `json:"render,omitempty"`
	// BenchPlan is what package bench measures.
	BenchPlan BenchPlan `json:"bench,omitzero"`
	// Runners are the Project's labels of CI runners, by platform.
	Runners map[Platform]string `json:"runners,omitempty"`
	// Ignored describes what Files leave out, anywhere in the project.
	Ignored []string `json:"ignored,omitempty"`
	// Skipped are the binaries and images that have no platform left because of Overrides.
	Skipped []string `json:"skipped,omitempty"`
	// Warnings are for the user to read.
	Warnings []string `json:"warnings,omitempty"`
	// Absent are the Sources of Files that don't exist yet.
	Absent []AbsentSource `json:"absent,omitempty"`
	// Limits says how Overrides limit the plan.
	Limits Limits `json:"limits,omitzero"`
}

// Limits says how Overrides limit a plan. The zero value is no limit.
type Limits struct {
	// Platforms is set if some of the Project's platforms may be left out.
	Platforms bool `json:"platforms,omitempty"`
	// Images are the names of the images that are made. Nil: all.
	Images []string `json:"images,omitempty"`
}

// Checkout is the state of the repository when the plan was made. If it has changed,
// nothing is published. The zero value is no repository.
type Checkout struct {
	Folder  string   `json:"folder,omitempty"`  // the repository's top folder, absolute
	Branch  string   `json:"branch,omitempty"`  // empty if HEAD is detached
	Changed []string `json:"changed,omitempty"` // the tracked files that differ from HEAD, relative to Folder
}

// Toolchain is the go command that builds.
type Toolchain struct {
	Version string `json:"version"`         // like go1.26.8
	Flags   string `json:"flags,omitempty"` // GOFLAGS in effect
	// Experiment and FIPS140 are GOEXPERIMENT and GOFIPS140 in effect.
	Experiment string `json:"experiment,omitempty"`
	FIPS140    string `json:"fips140,omitempty"`
	Root       string `json:"root,omitempty"`      // GOROOT
	Module     string `json:"module,omitempty"`    // the go.mod; empty or os.DevNull outside a module
	Workspace  string `json:"workspace,omitempty"` // the go.work; empty or "off" without one
	ModCache   string `json:"modCache,omitempty"`  // GOMODCACHE
}

// Compile is one call of go build: main packages for one platform with the same settings
// and different executable names.
type Compile struct {
	Platform Platform `json:"platform"`
	Env      []string `json:"env"`  // added to the environment
	Args     []string `json:"args"` // of go build, without -o and the packages
	Mains    []Main   `json:"mains"`
	// Module is the folder of the Go module, relative to Plan.Dir. Empty: Plan.Dir.
	Module string `json:"module,omitempty"`

	// Folder is the folder of the executables, relative to one that runs share.
	Folder string `json:"folder"`
	// PackageFlags are the Args that change compiled packages, before templates are
	// executed.
	PackageFlags string `json:"packageFlags"`
}

// Main is one main package of a Compile.
type Main struct {
	Binary  string `json:"binary"`  // the Binary's name
	Package string `json:"package"` // import path
	Output  string `json:"output"`  // the executable, relative to Plan.Output
	File    string `json:"file"`    // the name that go gives it
}

// ImagePlan plans one image: an index with an image per platform.
type ImagePlan struct {
	Name string `json:"name"`
	// Repositories are the full names of its repositories; none without registries.
	Repositories []string          `json:"repositories,omitempty"`
	Tags         []string          `json:"tags,omitempty"`      // of the index
	EmptyTags    []string          `json:"emptyTags,omitempty"` // the templates that rendered empty
	Annotations  map[string]string `json:"annotations"`         // of the index
	Platforms    []PlatformPlan    `json:"platforms"`
	// Build is the same as in RecordGo.
	Build string `json:"build"`
}

// allTags are the tags of the index and of the platforms' images.
func (ip *ImagePlan) allTags() []string {
	all := slices.Clone(ip.Tags)
	for _, pp := range ip.Platforms {
		all = append(all, pp.Tags...)
	}
	return all
}

// PlatformPlan plans an image for one platform.
type PlatformPlan struct {
	Platform Platform       `json:"platform"`
	Tags     []string       `json:"tags,omitempty"` // those that point to this image instead of the index
	Base     string         `json:"base"`           // a reference, oci:PATH, dockerfile:PATH or scratch
	Binaries []PlacedBinary `json:"binaries"`
	// Packages are the Image's; Lock is what multimage.lock has for them, which may be
	// nil.
	Packages      []string     `json:"packages,omitempty"`
	IgnoreScripts []string     `json:"ignoreScripts,omitempty"`
	Lock          *PackageLock `json:"lock,omitempty"`
	Files         []File       `json:"files,omitempty"`
	User          User         `json:"user"`
	CACerts       bool         `json:"caCerts,omitempty"`
	TZData        bool         `json:"tzData,omitempty"`
	// Config is what the image sets in its configuration (OCI image spec,
	// config.md), except for the user, which depends on the base's accounts. Env,
	// ports, volumes and labels are added to the base's. Other zero fields keep the
	// base's values, Entrypoint and Cmd only with BaseEntrypoint and BaseCmd.
	Config         v1.Config         `json:"config"`
	BaseEntrypoint bool              `json:"baseEntrypoint,omitempty"`
	BaseCmd        bool              `json:"baseCmd,omitempty"`
	Smoke          []string          `json:"smoke,omitzero"`          // as the Image's
	StartInterval  time.Duration     `json:"startInterval,omitempty"` // of Config.Healthcheck, which has no field for it
	Annotations    map[string]string `json:"annotations"`             // of the manifest
}

// Rendering is a file to render for the published images.
type Rendering struct {
	Template string `json:"template"` // as the Project's Render names it
	Text     string `json:"text"`     // of the template
	Output   string `json:"output"`   // the file to write, absolute
	Facts    Facts  `json:"facts"`    // as for Tags
}

// PlacedBinary is a binary and its path in an image.
type PlacedBinary struct {
	Binary string `json:"binary"`
	Path   string `json:"path"`
	// Mode, UID, GID and Capabilities are the Binary's.
	Mode         fs.FileMode `json:"mode,omitempty"`
	UID          int         `json:"uid,omitempty"`
	GID          int         `json:"gid,omitempty"`
	Capabilities []string    `json:"capabilities,omitempty"`
}

// item is a binary or an image by its name, for one of its platforms.
type item struct {
	name     string
	platform Platform
}

func (i item) String() string { return fmt.Sprintf("%s for %s", i.name, i.platform) }

// scratch as a base means none.
const scratch = "scratch"

// fromDockerfile is the prefix of a base that is built from a Dockerfile.
const fromDockerfile = "dockerfile:"

// DockerfilePlan is a base that is built from a Dockerfile.
type DockerfilePlan struct {
	Base string `json:"base"` // as in PlatformPlan
	// Platforms are all that the Project wants it for, including those that Overrides
	// leave out: machines that build for different platforms share one base.
	Platforms []Platform `json:"platforms"`
}

// AbsentSource is the Source of a File that didn't exist when the Plan was made. Another
// step of the project may still create it, and machines that only run Matrix or Merge
// never have it. So it is an error only in stages that read it, or if the Project has
// other mistakes.
type AbsentSource struct {
	Field  string `json:"field"`  // of the Project
	Source string `json:"source"` // as the field has it
	Path   string `json:"path"`   // relative to Plan.Dir
}

func packagesOf(mains []Main) string {
	paths := make([]string, len(mains))
	for i, m := range mains {
		paths[i] = m.Package
	}
	return strings.Join(paths, " ")
}

// compilesFor returns the calls with only the mains that are needed.
func compilesFor(calls []Compile, needed map[item]bool) []Compile {
	var kept []Compile
	for _, c := range calls {
		c.Mains = slices.DeleteFunc(slices.Clone(c.Mains), func(m Main) bool { return !needed[item{m.Binary, c.Platform}] })
		if len(c.Mains) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

func (p *Plan) private(name string) string { return filepath.Join(p.Output, ".multimage", name) }

// outputs are the folders that runs write to in OUTPUT.
var outputs = []string{"archive", "bench", "bin", "digests", "evidence", "oci"}

// layout is the folder of an image's layout.
func (p *Plan) layout(image string) string {
	return filepath.Join(p.Output, "oci", filepath.FromSlash(image))
}

// BenchPlan is what package bench measures.
type BenchPlan struct {
	// Host is the host's platform, or those of its variants that the project is built
	// for. The others are compared with it.
	Host []BenchPlatform
	// Platforms are the others, in plan order.
	Platforms []BenchPlatform
	Runs      int           // of each build; 0: a first run decides
	Budget    time.Duration // for all; 0: none
	Baseline  string        // a file, absolute; empty: none
	Tolerance float64       // in percent; 0: any
	// Unmeasured are the project's platforms and binaries that aren't measured.
	Unmeasured []string
}

// BenchPlatform is what is built for a platform.
type BenchPlatform struct {
	Platform string
	// Reference is set if the project isn't built for this platform, which is the host's
	// and only a reference.
	Reference bool
	Compiles  []Compile
}

// LockedPackage is a package of an image, as multimage.lock has it.
type LockedPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	URL     string `json:"url"`
	Size    int64  `json:"size"` // in bytes
	SHA256  string `json:"sha256"`
}

// PackageLock is an image's entry in multimage.lock for one platform.
type PackageLock struct {
	Base     string          `json:"base"`   // as in the PlatformPlan
	Digest   string          `json:"digest"` // of the base's manifest
	Wanted   []string        `json:"wanted"` // the Image's Packages
	Packages []LockedPackage `json:"packages"`
}
