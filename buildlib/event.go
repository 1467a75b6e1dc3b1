package buildlib

import (
	"fmt"
	"time"
)

// Event reports that a step has begun or ended, or its progress in between. Every step
// that begins also ends, even if it fails or is interrupted.
type Event struct {
	Step     Step
	Done     bool          // whether it has ended
	Err      error         // why it failed; nil if it didn't
	Subject  string        // what the step works on
	Platform string        // empty if the step is for all platforms
	Detail   string        // the outcome
	Progress string        // like 3 of 10 packages; empty when the step begins or ends
	Elapsed  time.Duration // zero when the step begins
	Left     time.Duration // estimated time for all remaining steps, when the step begins; zero: unknown
}

// Step is a kind of Event.
type Step string

// The steps of a build.
const (
	StepWait    Step = "wait"    // for another run's lock, or a registry; Subject says which, and why
	StepCompile Step = "compile" // one go build
	StepRestore Step = "restore" // filling GOCACHE for one platform, or GOMODCACHE, from the build cache
	StepKeep    Step = "keep"    // storing what one platform used of GOCACHE, or modules, in the build cache
	StepBase    Step = "base"    // resolving and reading one base
	StepBuild   Step = "build"   // building one base from its Dockerfile for one platform
	StepImage   Step = "image"   // assembling one image for one platform
	StepLayout  Step = "layout"  // writing one image's OCI layout
	StepPush    Step = "push"    // publishing one image to one repository
	StepSmoke   Step = "smoke"   // running one image for one platform
	StepArchive Step = "archive" // writing one image as one file
	StepLoad    Step = "load"    // loading one image into the engine
	StepPrepare Step = "prepare" // what a benchmark does before its clock starts
	StepMeasure Step = "measure" // one build of the benchmark
	StepWarn    Step = "warning" // not a step: a warning to the user
	StepDetail  Step = "detail"  // not a step: a detail for verbose output
)

// progress receives events. Nil: they are dropped.
type progress func(Event)

// Running is a step that has begun. The zero value reports nothing.
type Running struct {
	progress
	event    Event
	start    time.Time
	reported time.Time // when its progress was last reported
	ended    bool
}

// begin reports that a step begins. The caller reports the end with Done or Failed.
func (p progress) begin(step Step, subject, platform string) *Running {
	return p.beginEvent(Event{Step: step, Subject: subject, Platform: platform})
}

func (p progress) beginEvent(e Event) *Running {
	e.Left = max(0, e.Left)
	r := &Running{progress: p, start: time.Now(), event: e}
	r.report()
	return r
}

func (r *Running) report() {
	if r.progress != nil {
		r.progress(r.event)
	}
}

// bytes reports progress, at most a few times a second. Only one goroutine at a time
// may call it.
func (r *Running) bytes(done, all int64) {
	r.reportProgress(fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(all)/1e6))
}

// packages reports a compile's progress, as bytes does.
func (r *Running) packages(done, all int) {
	left := time.Since(r.start) * time.Duration(all-done) / time.Duration(max(1, done))
	r.reportProgress(fmt.Sprintf("%d of %d packages, about %v left", done, all, left.Round(time.Second)))
}

func (r *Running) reportProgress(progress string) {
	if r.progress == nil || time.Since(r.reported) < progressInterval {
		return
	}
	r.reported = time.Now()
	e := r.event
	e.Progress = progress
	r.progress(e)
}

const progressInterval = 200 * time.Millisecond

// Done reports that the step has ended, and its outcome. It returns how long the step
// took.
func (r *Running) Done(detail string) time.Duration {
	r.event.Detail = detail
	r.end()
	return r.event.Elapsed
}

// Failed reports that the step has ended with err, unless err is nil or the end
// was reported before.
func (r *Running) Failed(err error) {
	if err != nil && !r.ended {
		r.event.Err = err
		r.end()
	}
}

func (r *Running) end() {
	r.ended, r.event.Done, r.event.Elapsed = true, true, time.Since(r.start)
	r.report()
}

// tell reports an event that takes no time.
func (p progress) tell(step Step, subject string) {
	if p != nil {
		p(Event{Step: step, Subject: subject, Done: true})
	}
}

// log reports a detail for verbose output.
func (p progress) log(format string, args ...any) {
	p.tell(StepDetail, fmt.Sprintf(format, args...))
}
