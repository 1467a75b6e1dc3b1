package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/emulate"
	"github.com/multimage/multimage/buildlib/internal/runtime"
	"github.com/multimage/multimage/buildlib/internal/wording"
	"golang.org/x/sync/errgroup"
)

// SmokeResult is the test of a platform's image.
type SmokeResult struct {
	Image    string
	Platform Platform
	Digest   v1.Hash       // of the manifest
	Skipped  string        // why it couldn't run here; empty: it ran, and exited with 0
	Elapsed  time.Duration // unpacking it and running it
}

// Smoke runs Images and then the programs of those images that have a Smoke, on
// each of their platforms: what Manifest does before it moves a tag.
func (b *Builder) Smoke(ctx context.Context) ([]SmokeResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.plan.hasImages(), b.plan.hasSources(), b.plan.hasSmoke()); err != nil {
		return nil, err
	}
	return within(ctx, b, func(ctx context.Context, w *workspace) ([]SmokeResult, error) {
		images, err := w.images(ctx)
		if err != nil {
			return nil, err
		}
		var all []SmokeResult
		var failed []error
		for i := range images {
			list, err := w.smoke(ctx, &images[i])
			if err != nil {
				err = fmt.Errorf("image %s: %w", images[i].Name, err)
			}
			all, failed = append(all, list...), append(failed, err)
		}
		return all, errors.Join(failed...)
	})
}

// hasSmoke is an error if no image has a Smoke.
func (p *Plan) hasSmoke() error {
	for _, ip := range p.ImagePlans {
		if ip.smoked() {
			return nil
		}
	}
	return errors.New("no image has a Smoke: set it to the arguments with which its program tests itself, like []string{\"--version\"}")
}

func (ip *ImagePlan) smoked() bool {
	return slices.ContainsFunc(ip.Platforms, func(pp PlatformPlan) bool { return pp.Smoke != nil })
}

// smokeRun is an image's test, which runs once, however many repositories wait for
// it.
type smokeRun struct {
	sync.Mutex
	once[[]SmokeResult]
	reported bool // its failure
}

// smoke runs the program of an image on all platforms. A platform that can't run here
// is a warning, or an error if the Project says so. Only the first error of an image
// has all details.
func (w *workspace) smoke(ctx context.Context, b *built) ([]SmokeResult, error) {
	if !b.plan.smoked() {
		return nil, nil
	}
	kept, _ := w.run.smoked.LoadOrStore(b.Name, &smokeRun{})
	run := kept.(*smokeRun)
	run.Lock()
	defer run.Unlock()
	if run.reported {
		return run.value, errors.New("its Smoke failed, as reported above")
	}
	list, err := run.do(func() ([]SmokeResult, error) {
		list, failed := make([]SmokeResult, len(b.images)), make([]error, len(b.images))
		g := errgroup.Group{}
		g.SetLimit(2)
		for i, pp := range b.plan.Platforms {
			if pp.Smoke != nil {
				g.Go(func() error {
					list[i], failed[i] = w.smokeOn(ctx, pp, b, i)
					return nil
				})
			}
		}
		_ = g.Wait() // their errors are in failed: one doesn't stop the others
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		list = slices.DeleteFunc(list, func(r SmokeResult) bool { return r.Image == "" })
		return list, errors.Join(failed...)
	})
	run.reported = err != nil
	return list, err
}

// smokeOn runs the program of image i of b.
func (w *workspace) smokeOn(ctx context.Context, pp PlatformPlan, b *built, i int) (r SmokeResult, err error) {
	step := w.begin(StepSmoke, b.Name, pp.Platform.String())
	defer func() { step.Failed(err) }()
	err = w.runProgram(ctx, pp, b.images[i])
	r = SmokeResult{Image: b.Name, Platform: pp.Platform, Digest: b.Platforms[i].Digest}
	unavailable, ok := errors.AsType[*runtime.Unavailable](err)
	switch {
	case ok && w.plan.Smoke.Unrunnable == unrunnableFail:
		return r, fmt.Errorf("%s: its Smoke can't be run here, which Smoke.Unrunnable makes an error: %w", pp.Platform, err)
	case ok:
		w.tell(StepWarn, fmt.Sprintf("image %s: %s: its Smoke was not run: %s", b.Name, pp.Platform, wording.Clip(unavailable.Reason)))
		r.Skipped, err = unavailable.Reason, nil
		r.Elapsed = step.Done("skipped")
		return r, nil
	case err != nil:
		return r, fmt.Errorf("%s: its Smoke (entrypoint with %q) has to exit with 0 before tags move: %w", pp.Platform, pp.Smoke, err)
	}
	r.Elapsed = step.Done("passed")
	return r, nil
}

// runProgram runs an image's entrypoint with its Smoke. The error is a
// *runtime.Unavailable if nothing here can run it.
func (w *workspace) runProgram(ctx context.Context, pp PlatformPlan, img v1.Image) error {
	p := runtime.Program{Image: img, Args: pp.Smoke, Limit: cmp.Or(w.plan.Smoke.Timeout, time.Minute), Engine: w.options.Engine}
	if goruntime.GOOS == "linux" { // elsewhere an engine has a Linux of its own
		emulator, err := emulate.Find(ctx, pp.Platform.spec())
		var missing *emulate.Missing
		var crash *emulate.Crash
		switch {
		case errors.As(err, &missing), errors.As(err, &crash):
			return &runtime.Unavailable{Reason: err.Error()}
		case err != nil:
			return err
		case emulator.Kind == emulate.Direct:
			p.Interpreter = emulator.Path
		}
	}
	var err error
	if p.Dir, err = os.MkdirTemp(w.scratch.Dir, "smoke-"); err != nil {
		return err
	}
	err = p.Run(ctx)
	w.logLeftovers(os.RemoveAll(p.Dir))
	return err
}

// smokeLocal tests the images that go to no registry, but only to a layout.
func (w *workspace) smokeLocal(ctx context.Context, all []built) error {
	var failed []error
	for i := range all {
		if len(all[i].plan.Repositories) == 0 {
			if _, err := w.smoke(ctx, &all[i]); err != nil {
				failed = append(failed, fmt.Errorf("image %s: %w", all[i].Name, err))
			}
		}
	}
	return errors.Join(failed...)
}

// recordSmoke adds the test of an image to its records.
func recordSmoke(records []Record, results []SmokeResult, ip ImagePlan) {
	for i := range records {
		r := &records[i]
		for _, result := range results {
			if result.Platform == r.Platform {
				r.Smoke = &RecordSmoke{ip.Platforms[i].Smoke, result.Skipped == ""}
			}
		}
	}
}
