package targets

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/multimage/multimage/buildlib"
)

// resolved is the one plan of this process: mage runs several targets in one,
// and each stage of the plan runs once.
var resolved struct {
	sync.Mutex
	plan *buildlib.Plan
	out  *console
}

// Resolve returns the plan of Project as the environment changes it, the one
// that the targets run. It is for targets of your own that want results:
//
//	plan, err := targets.Resolve(ctx)
//	...
//	images, err := plan.Manifest(ctx)
func Resolve(ctx context.Context) (*buildlib.Plan, error) {
	plan, _, err := resolve(ctx)
	return plan, err
}

func resolve(ctx context.Context) (*buildlib.Plan, *console, error) {
	resolved.Lock()
	defer resolved.Unlock()
	if resolved.plan != nil {
		return resolved.plan, resolved.out, nil
	}
	over, err := overrides(os.Environ())
	if err != nil {
		return nil, nil, err
	}
	plan, err := Project.Plan(ctx, over)
	if err != nil {
		return nil, nil, err
	}
	out := newConsole()
	for _, w := range plan.Warnings {
		out.say("warning: %s", w)
	}
	plan.Progress = out.event
	resolved.plan, resolved.out = plan, out
	return plan, out, nil
}

// run runs a stage of the plan until it ends, or is told to, or nobody waits
// for it any more.
func run(ctx context.Context, stage func(context.Context, *buildlib.Plan, *console) error) error {
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

	plan, out, err := resolve(ctx)
	if err == nil {
		out.start()
		defer out.stop()
		err = stage(ctx, plan, out)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // what was cut off has nothing to say
	}
	return err
}
