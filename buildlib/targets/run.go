package targets

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench"
)

// opened is the Builder of the targets. mage runs several targets in one process, and
// each stage of a Builder runs once. If a target of your own changes Project in
// between, the next one gets a new Builder.
var opened struct {
	sync.Mutex
	from    string // the snapshot that it was made from
	builder *buildlib.Builder
}

// shared is the console of this process.
var shared = sync.OnceValue(newConsole)

// Open returns the Builder of Project as the environment changes it, the one
// that the targets use. It is for targets of your own that want results:
//
//	b, err := targets.Open(ctx)
//	...
//	images, err := b.Manifest(ctx)
//
// As long as Project, the variables MULTIMAGE_* and the source stay the same, so does
// the Builder, and nothing is built twice. It need not be closed.
func Open(ctx context.Context) (*buildlib.Builder, error) {
	b, err := open(ctx)
	return b, cleaned(err)
}

func open(ctx context.Context) (*buildlib.Builder, error) {
	opened.Lock()
	defer opened.Unlock()
	from := snapshot(Project, os.Environ())
	if opened.builder != nil && from != "" && from == opened.from {
		// A step of the project may have written source in between.
		if stale, err := opened.builder.Stale(ctx); err != nil || !stale {
			return opened.builder, err
		}
	}
	over, options, err := overrides(os.Environ())
	if err != nil {
		return nil, err
	}
	plan, err := Project.Plan(ctx, over)
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		shared().warn(w)
	}
	options.Progress = traced(os.Getenv(prefix+"TRACE"), shared().event)
	// Later targets use it, too, after this one's context has ended.
	b, err := buildlib.Open(context.WithoutCancel(ctx), plan, options)
	if err != nil {
		return nil, err
	}
	opened.builder, opened.from = b, from
	return b, nil
}

// snapshot is the Project and the variables as text, to be compared. As text, it is not
// affected by changes of the Project in place. Empty: the Project is not valid, which
// Project.Plan reports.
func snapshot(project buildlib.Project, environ []string) string {
	data, err := json.Marshal(project)
	if err != nil {
		return ""
	}
	var ours []string
	for _, variable := range environ {
		if strings.HasPrefix(variable, prefix) {
			ours = append(ours, variable)
		}
	}
	slices.Sort(ours)
	return strings.Join(append(ours, string(data)), "\x00")
}

// run runs a stage of the build until it ends, is stopped by a signal, or nobody waits
// for it any more. mage prints the error that it returns.
func run(ctx context.Context, stage func(context.Context, *buildlib.Builder, *console) error) error {
	// mage cancels on SIGINT only.
	signals := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, signals...)
	defer stop()
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch.Go(func() { watchParents(ctx, cancel) })

	b, err := open(ctx)
	if err == nil {
		out := shared()
		out.start()
		defer out.stop()
		err = stage(ctx, b, out)
		// A joined error hides the exit status that mage asks an error for.
		if failed := writeTrace(); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // errors of an interrupted stage are of no interest
	}
	return cleaned(err)
}

// show runs a stage, and prints its result if it succeeds.
func show[T any](ctx context.Context, stage func(*buildlib.Builder, context.Context) (T, error), print func(*console, T) error) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		result, err := stage(b, ctx)
		if err != nil {
			return err
		}
		return print(out, result)
	})
}

// measured is the benchmark that has run: like stages, it runs once for a Builder.
var measured struct {
	sync.Mutex
	of     *buildlib.Builder
	result *bench.Result
	err    error
}

func benchOnce(ctx context.Context, b *buildlib.Builder) (*bench.Result, error) {
	measured.Lock()
	defer measured.Unlock()
	if measured.of != b {
		measured.result, measured.err = bench.Run(ctx, b)
		measured.of = b
	}
	return measured.result, measured.err
}
