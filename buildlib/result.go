package buildlib

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// BinaryResult is a built binary.
type BinaryResult struct {
	Name      string
	Platform  string
	Path      string  // below Output's bin, absolute
	Digest    v1.Hash // sha256 of the content
	Size      int64   // bytes
	Unchanged bool    // whether it is, byte for byte, that of the run before
}

// ImageResult is a built image, and after Manifest or Merge a published one. As JSON,
// in a list, it is images.json.
type ImageResult struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	Revision string  `json:"revision"` // empty without git
	Digest   v1.Hash `json:"digest"`   // of the index
	// Tags are those of the index, in the layout and, but for those that a
	// changed checkout doesn't get, each repository.
	Tags []string `json:"tags"`
	// Refs are where Manifest or Merge put it; none without registries.
	Refs      []Ref            `json:"refs"`
	Platforms []PlatformResult `json:"platforms"`

	// Layout is the folder of its OCI layout, absolute. Merge makes none.
	Layout string `json:"-"`
	// Published is what became of the tags in each of its repositories, once
	// that was tried.
	Published []Publication `json:"-"`
}

// Publication is what became of an image's tags in one repository. A tag is in
// one of the lists.
type Publication struct {
	Repository string
	Written    []string // made to point to the index, and read back
	Current    []string // pointed to it already
	Failed     []string // don't point to it, as far as is known
	Err        error    // why; nil: all is well
}

// Ref is an image in a repository.
type Ref struct {
	Repository string  `json:"repository"`
	Digest     v1.Hash `json:"digest"`
}

// String is the reference that pulls exactly this image: REPOSITORY@DIGEST.
func (r Ref) String() string { return r.Repository + "@" + r.Digest.String() }

// PlatformResult is an image's share for one platform.
type PlatformResult struct {
	Platform string  `json:"platform"`
	Digest   v1.Hash `json:"digest"` // of the manifest
	Size     int64   `json:"size"`   // bytes to pull: manifest, config and layers

	Elapsed time.Duration `json:"-"` // assembling it; its binaries are compiled with others' of the platform
}

// LoadResult is an image that an engine has.
type LoadResult struct {
	Name     string
	Engine   string   // docker or podman
	Platform string   // the engine's
	Refs     []string // the names it can be run by
	Note     string   // explains names that differ from those asked for; mostly empty
}

// Event is a step of the work.
type Event struct {
	Step Step
	// Done is false when the step begins.
	Done     bool
	Subject  string        // what is worked on
	Platform string        // empty if the step is for all
	Detail   string        // what came of it
	Elapsed  time.Duration // zero when the step begins
	Left     time.Duration // what all the steps will still take, at its beginning; zero: unknown
}

// Step is a kind of Event.
type Step string

// The steps of a build.
const (
	StepWait    Step = "wait"    // for another run's lock, or a registry; Subject says for whom, and why
	StepCompile Step = "compile" // one go build
	StepBase    Step = "base"    // resolving and reading one base
	StepImage   Step = "image"   // assembling one image for one platform
	StepLayout  Step = "layout"  // writing one image's OCI layout
	StepPush    Step = "push"    // publishing one image to one repository
	StepLoad    Step = "load"    // loading one image into the engine
	StepPrepare Step = "prepare" // what a benchmark does before its clock starts
	StepMeasure Step = "measure" // one build of the benchmark
	StepWarn    Step = "warning" // not a step: something to read
	StepDetail  Step = "detail"  // nor this: something for those who want to see all
)

// begin reports that a step begins, and returns what reports its end.
func (p *Plan) begin(step Step, subject, platform string) func(detail string) time.Duration {
	return p.beginLeft(step, subject, platform, 0)
}

// beginLeft is begin for a step of many whose length is known.
func (p *Plan) beginLeft(step Step, subject, platform string, left time.Duration) func(detail string) time.Duration {
	if p.Progress == nil {
		start := time.Now()
		return func(string) time.Duration { return time.Since(start) }
	}
	start := time.Now()
	e := Event{Step: step, Subject: subject, Platform: platform, Left: max(0, left)}
	p.Progress(e)
	return func(detail string) time.Duration {
		e.Done, e.Detail, e.Elapsed = true, detail, time.Since(start)
		p.Progress(e)
		return e.Elapsed
	}
}

// tell reports something that takes no time.
func (p *Plan) tell(step Step, subject string) {
	if p.Progress != nil {
		p.Progress(Event{Step: step, Subject: subject, Done: true})
	}
}
