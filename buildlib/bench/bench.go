// Package bench compares what a plan's builds cost natively with what they cost
// under emulation, as "docker buildx build --platform" runs them.
//
// Its files: bench.go prepares, runs and reports; run.go lists the builds and
// measures them; difference.go compares two binaries.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench/internal/measure"
	"github.com/multimage/multimage/buildlib/bench/internal/report"
	"github.com/multimage/multimage/buildlib/internal/emulate"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// Result is the result of a benchmark, for people. The numbers are in bench.json.
type Result struct {
	// Folder has bench.txt, bench.json, report.md and chart.svg; absolute. It is
	// empty if they could not be written.
	Folder string
	Table  string // for a terminal of 80 columns
	// Markdown is report.md, for CI systems that show it.
	Markdown string
	// Comparison is the change since the baseline, for a terminal; empty
	// without one.
	Comparison string
}

// Error is the error of a benchmark that isn't a success, though its report is written.
type Error struct {
	// Status is the exit status: 1 if the two sides' binaries differ, or if nothing
	// can be compared with the baseline; 4 if something is worse than the tolerance
	// allows; 3 if a part could not be measured, for example because there is no
	// QEMU, or a build crashed under it.
	Status  int
	Reasons []string
}

func (e *Error) Error() string { return "bench: " + strings.Join(e.Reasons, "\nbench: ") }

// ExitStatus is Status, where mage looks for it.
func (e *Error) ExitStatus() int { return e.Status }

// errBudget is the cause of a context that ended with the budget.
var errBudget = errors.New("the budget ended")

// Run measures what the builds of b's plan take natively and under emulation, and
// writes bench.txt, bench.json, report.md and chart.svg to OUTPUT/bench. If something
// was measured, it returns a result also with an error: an *Error, the end of ctx (then
// the report is marked partial), or of files that can't be written.
func Run(ctx context.Context, b *buildlib.Builder) (*Result, error) {
	return run(ctx, b, func(ctx context.Context, b *bench) error { return b.emulateAll(ctx) })
}

// run runs the benchmark. emulate finds out how each platform is emulated.
func run(ctx context.Context, builder *buildlib.Builder, emulate func(context.Context, *bench) error) (result *Result, err error) {
	err = builder.Within(ctx, func(ctx context.Context, w buildlib.Workspace) error {
		b := &bench{Builder: builder, plan: builder.Plan(), temp: w.Temp, cache: w.Cache}
		result, err = b.run(ctx, emulate)
		return err
	})
	return result, err
}

func (b *bench) run(ctx context.Context, emulate func(context.Context, *bench) error) (*Result, error) {
	p := &b.plan.BenchPlan
	var baseline *report.Record
	if p.Baseline != "" {
		var err error
		if baseline, err = report.Read(p.Baseline); err != nil {
			return nil, err
		}
	}
	if len(p.Host)+len(p.Platforms) == 0 {
		return nil, errors.New("bench: no binary of the project is left to measure: see Bench.Platforms, Bench.Binaries, Overrides.Platforms and Overrides.Images")
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if p.Budget > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, p.Budget, errBudget)
	}
	defer cancel()
	err := b.prepare(limited)
	if err == nil {
		err = emulate(limited, b)
	}
	if errors.Is(err, errBudget) {
		return nil, fmt.Errorf("Bench.Budget: %s is too short: it ended before the first build, while modules and toolchains were fetched or made (which a second run needn't do)", p.Budget)
	}
	if err != nil {
		return nil, err
	}
	b.measure(limited)
	stopped := context.Cause(ctx)
	if stopped != nil {
		b.stopped("interrupted")
	}
	if err := b.unmeasured(); err != nil {
		return nil, cmp.Or(stopped, err)
	}
	result, err := b.finish(baseline)
	return result, cmp.Or(stopped, err)
}

// bench is a running benchmark.
type bench struct {
	*buildlib.Builder
	plan   *buildlib.Plan
	temp   string // a folder for temporary files
	cache  string
	report report.Report
	env    []string // of both sides, over the process's environment
	pins   []string // of both sides, over the Project's GoBuild.Env
	lines  []*benchLine
	serial int // the number of the last folder

	different bool // a pair of binaries was kept
}

// benchLine is a platform and both sides: the ways to build for it.
type benchLine struct {
	buildlib.BenchPlatform
	native, emulated *benchSide // emulated is nil for the host's platform, and without emulation
	host             bool
	missing          string // why there is no emulated side
	emulator         *report.Emulator
	toolchain        string
	overlays         []overlay
	outputs          [2]map[string]*[2]builtFile // by case and file: native, emulated
	same             [2]*bool
	difference       [2]string
}

// benchSide is a way to build, and its measurements.
type benchSide struct {
	name  string   // native or emulated
	argv  []string // the go command
	flags []string // further flags of go build
	env   []string
	legs  [2]report.Leg // cold and warm
	took  time.Duration // the latest round
	ended bool          // after a failure: it is not run again
}

var caseNames = [2]string{report.Cold, report.Warm}

// prepare does everything that must not happen while the clock runs:
// modules, toolchains, the sources in memory.
func (b *bench) prepare(ctx context.Context) error {
	p := b.plan
	env, err := gotool.Go{Dir: b.plan.Dir}.Env(ctx)
	if err != nil {
		return err
	}
	b.env = []string{
		// The effective values of what go env -w may have set. Its other settings,
		// like caches that could help one side, are off (GOENV=off).
		"GOFLAGS=" + env.Flags, "GOEXPERIMENT=" + env.Experiment, "GOFIPS140=" + env.FIPS140,
	}
	b.pins = []string{
		"GOENV=off", "GOMODCACHE=" + env.ModCache, "GOWORK=" + cmp.Or(env.Work, "off"), "GOTOOLCHAIN=local",
		"GOPROXY=off", "GOCACHEPROG=", fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)),
	}
	b.describe()
	for _, bp := range p.BenchPlan.Host {
		b.lines = append(b.lines, &benchLine{BenchPlatform: bp, host: true})
	}
	for _, bp := range p.BenchPlan.Platforms {
		b.lines = append(b.lines, &benchLine{BenchPlatform: bp})
	}
	for _, l := range b.lines {
		step := b.Begin(buildlib.Event{Step: buildlib.StepPrepare, Subject: "modules and sources", Platform: l.Platform})
		if err := b.fetch(ctx, l); err != nil {
			if l.Reference && ctx.Err() == nil {
				step.Done("none: the project isn't for this platform")
				b.log("no reference: %s: %v", l.Platform, err)
				continue
			}
			step.Failed(err)
			return fmt.Errorf("%s: %w", l.Platform, err)
		}
		step.Done("")
		l.native = &benchSide{name: report.Native, argv: []string{filepath.Join(p.Go.Root, "bin", "go")}, env: []string{"GOROOT=" + p.Go.Root}}
	}
	// References that can't be built are left out.
	b.lines = slices.DeleteFunc(b.lines, func(l *benchLine) bool { return l.native == nil })
	return nil
}

// emulateAll finds out how each platform is emulated, except for the host's.
func (b *bench) emulateAll(ctx context.Context) error {
	for _, l := range b.lines {
		if l.host {
			continue
		}
		if err := b.emulate(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", l.Platform, err)
		}
	}
	return nil
}

// log logs a detail.
func (b *bench) log(format string, args ...any) {
	b.Report(buildlib.Event{Step: buildlib.StepDetail, Subject: fmt.Sprintf(format, args...), Done: true})
}

// describe fills in the parts of the report that are known before measuring.
func (b *bench) describe() {
	p, r := b.plan, &b.report
	r.Start = time.Now()
	r.Version, r.Revision, r.Dirty = p.Version, p.Revision, p.Dirty
	r.Host = measure.ReadHost()
	r.Go = report.Go{Version: p.Go.Version, Flags: p.Go.Flags, Experiment: p.Go.Experiment, FIPS140: p.Go.FIPS140}
	r.Procs = runtime.GOMAXPROCS(0)
	r.Unmeasured = p.BenchPlan.Unmeasured
	r.Runs, r.Budget = p.BenchPlan.Runs, p.BenchPlan.Budget.Seconds()
	for _, bp := range append(slices.Clone(p.BenchPlan.Host), p.BenchPlan.Platforms...) {
		for _, c := range bp.Compiles {
			for _, arg := range c.Args {
				if !slices.Contains(r.Flags, arg) {
					r.Flags = append(r.Flags, arg)
				}
			}
			for _, m := range c.Mains {
				if !slices.Contains(r.Binaries, m.Binary) {
					r.Binaries = append(r.Binaries, m.Binary)
				}
			}
		}
	}
}

// fetch downloads the modules that a platform's builds need, by loading its
// packages, which also brings the sources into memory.
func (b *bench) fetch(ctx context.Context, l *benchLine) error {
	for _, c := range l.Compiles {
		tool := gotool.Go{Dir: b.plan.ModuleDir(c)}
		var mains []string
		for _, m := range c.Mains {
			mains = append(mains, m.Package)
		}
		if err := tool.Fetch(ctx, c.Env, c.Args, mains...); err != nil {
			return err
		}
		pkgs, err := tool.List(ctx, c.Env, c.Args, mains...)
		if err != nil {
			return err
		}
		l.overlays = append(l.overlays, pkgs)
		for _, pkg := range pkgs {
			b.report.Module = cmp.Or(b.report.Module, pkg.Module.Path)
		}
	}
	return nil
}

// emulate finds out how a platform is emulated. If it can't be, that is noted. Only what
// makes all measurements untrustworthy is an error.
func (b *bench) emulate(ctx context.Context, l *benchLine) (err error) {
	p := b.plan
	at, err := v1.ParsePlatform(l.Platform)
	if err != nil {
		return err
	}
	step := b.Begin(buildlib.Event{Step: buildlib.StepPrepare, Subject: "toolchain for emulation", Platform: l.Platform})
	defer func() { step.Failed(err) }()
	var toolchain emulate.Toolchain
	emulator, err := emulate.Find(ctx, *at)
	if err == nil {
		l.emulator = &report.Emulator{Kind: emulator.Kind, Path: emulator.Path, Version: emulator.Version}
		toolchain, err = emulate.Options{
			Root: p.Go.Root, Version: p.Go.Version, Cache: filepath.Join(b.cache, "toolchains"), Log: b.log,
		}.Toolchain(ctx, *at, emulator)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	// A toolchain that was tampered with is no basis for measurements, and a full disk
	// would spoil the others, too.
	case errors.Is(err, emulate.ErrChecksum) || strings.Contains(err.Error(), syscall.ENOSPC.Error()):
		return err
	default:
		l.missing = err.Error()
		first, _, _ := strings.Cut(l.missing, "\n")
		step.Done("none: " + first)
		return nil
	}
	step.Done(toolchain.Origin)
	l.toolchain = toolchain.Origin
	argv, flags := toolchain.Command(emulator)
	l.emulated = &benchSide{name: report.Emulated, argv: argv, flags: flags, env: []string{"GOROOT=" + toolchain.Root}}
	return nil
}

// unmeasured is an error that says why nothing was measured; nil if something was.
func (b *bench) unmeasured() error {
	var reasons []string
	for _, l := range b.lines {
		for _, s := range l.sides() {
			if len(s.legs[0].Runs) > 0 {
				return nil
			}
			if s.legs[0].Failure != "" {
				reasons = append(reasons, fmt.Sprintf("%s: %s: %s", l.Platform, s.name, s.legs[0].Failure))
			}
		}
	}
	why := strings.Join(reasons, "\n")
	if b.report.Partial != "" {
		return fmt.Errorf("Bench.Budget: %s is too short: not one build finished: %s", b.plan.BenchPlan.Budget, why)
	}
	return fmt.Errorf("bench: no build succeeded: %s", why)
}

func (l *benchLine) sides() []*benchSide {
	if l.emulated == nil {
		return []*benchSide{l.native}
	}
	return []*benchSide{l.native, l.emulated}
}

// finish writes the report. The error is an *Error if the benchmark isn't a success.
func (b *bench) finish(baseline *report.Record) (*Result, error) {
	p := b.plan
	r := &b.report
	r.End = time.Now()
	var different, incomplete []string
	for _, l := range b.lines {
		rp := report.Platform{Platform: l.Platform, Host: l.host, Reference: l.Reference, Emulator: l.emulator, Toolchain: l.toolchain, Missing: l.missing}
		for i, name := range caseNames {
			c := report.Case{Name: name, Native: &l.native.legs[i], Same: l.same[i], Difference: l.difference[i]}
			if l.emulated != nil {
				c.Emulated = &l.emulated.legs[i]
			}
			for _, s := range l.sides() {
				if f := s.legs[i].Failure; f != "" && !l.Reference {
					incomplete = append(incomplete, fmt.Sprintf("%s: %s %s build: %s", l.Platform, s.name, name, f))
				}
			}
			if l.difference[i] != "" {
				different = append(different, fmt.Sprintf("%s: %s: the binaries of both sides differ: %s", l.Platform, name, l.difference[i]))
			}
			rp.Cases = append(rp.Cases, c)
		}
		if l.missing != "" {
			incomplete = append(incomplete, fmt.Sprintf("%s: no emulated build: %s", l.Platform, l.missing))
		}
		r.Platforms = append(r.Platforms, rp)
	}
	result := &Result{Folder: filepath.Join(p.Output, "bench"), Table: r.Table()}
	var change *report.Comparison
	var incomparable error
	if r.Partial != "" && len(incomplete) == 0 && p.BenchPlan.Runs > 0 {
		incomplete = append(incomplete, r.Partial) // fewer than were asked for
	}
	if baseline != nil {
		tolerance := p.BenchPlan.Tolerance
		if tolerance == 0 {
			tolerance = -1 // none
		}
		if change, incomparable = report.Compare(baseline, r.Record("this run"), tolerance); incomparable == nil {
			result.Comparison = change.String()
		}
	}
	result.Markdown = string(r.Markdown(change))
	if !b.different {
		os.RemoveAll(b.differentDir()) // of an earlier benchmark
	}
	if err := r.Write(result.Folder, b.temp, change); err != nil {
		result.Folder = ""
		return result, fmt.Errorf("bench: the report can't be written: %w", err)
	}
	switch {
	case incomparable != nil:
		return result, &Error{1, append([]string{incomparable.Error()}, append(different, incomplete...)...)}
	case len(different) > 0:
		return result, &Error{1, append(different, incomplete...)}
	case change != nil && change.Err() != nil:
		return result, &Error{4, append([]string{change.Err().Error()}, incomplete...)}
	case len(incomplete) > 0:
		return result, &Error{3, incomplete}
	}
	return result, nil
}
