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

// opened is the Builder of Project and the environment as they were when it was
// made: mage runs several targets in one process, and each stage of a Builder
// runs once. Targets of your own may set Project between them, which makes
// another.
var opened struct {
	sync.Mutex
	from    string
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
// As long as neither Project, nor a variable MULTIMAGE_*, nor the source changes,
// the Builder is the same, and what it has built is not built again. It need not
// be closed.
func Open(ctx context.Context) (*buildlib.Builder, error) {
	b, err := open(ctx)
	return b, cleaned(err)
}

func open(ctx context.Context) (*buildlib.Builder, error) {
	opened.Lock()
	defer opened.Unlock()
	from := snapshot(Project, os.Environ())
	if opened.builder != nil && from != "" && from == opened.from {
		// A step of the project's own may have written source in between.
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
	// Later targets use it, too, when this one's context has ended.
	b, err := buildlib.Open(context.WithoutCancel(ctx), plan, options)
	if err != nil {
		return nil, err
	}
	opened.builder, opened.from = b, from
	return b, nil
}

// snapshot is all that a plan depends on here, to be compared; it shares nothing
// with the Project, whose lists may be changed in place. Empty: it can't be
// told, which Project.Plan says why.
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

// run runs a stage of the build until it ends, or is told to, or nobody waits
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
		// mage asks the error itself for its status, which a joined one hides.
		if kept := keepTrace(); kept != nil {
			err = errors.Join(err, kept)
		}
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // what was cut off has nothing to say
	}
	return cleaned(err)
}

// measured is the benchmark that ran, to run once as stages do.
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
