package buildlib

import (
	"fmt"
	"time"
)

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

// progress is whom events are told. Nil: nobody looks.
type progress func(Event)

// begin reports that a step begins, and returns what reports its end.
func (p progress) begin(step Step, subject, platform string) func(detail string) time.Duration {
	return p.beginLeft(step, subject, platform, 0)
}

// beginLeft is begin for a step of many whose length is known.
func (p progress) beginLeft(step Step, subject, platform string, left time.Duration) func(detail string) time.Duration {
	if p == nil {
		start := time.Now()
		return func(string) time.Duration { return time.Since(start) }
	}
	start := time.Now()
	e := Event{Step: step, Subject: subject, Platform: platform, Left: max(0, left)}
	p(e)
	return func(detail string) time.Duration {
		e.Done, e.Detail, e.Elapsed = true, detail, time.Since(start)
		p(e)
		return e.Elapsed
	}
}

// tell reports something that takes no time.
func (p progress) tell(step Step, subject string) {
	if p != nil {
		p(Event{Step: step, Subject: subject, Done: true})
	}
}

// log hands detail to whoever looks.
func (p progress) log(format string, args ...any) {
	p.tell(StepDetail, fmt.Sprintf(format, args...))
}
