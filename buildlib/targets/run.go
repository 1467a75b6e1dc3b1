package targets

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/multimage/multimage/buildlib"
)

// resolved is the plan of Project and the environment as they were when it was
// made: mage runs several targets in one process, and each stage of a plan runs
// once. Targets of your own may set Project between them, which makes another.
var resolved struct {
	sync.Mutex
	from string
	plan *buildlib.Plan
}

// shared is the console of this process.
var shared = sync.OnceValue(newConsole)

// Resolve returns the plan of Project as the environment changes it, the one
// that the targets run. It is for targets of your own that want results:
//
//	plan, err := targets.Resolve(ctx)
//	...
//	images, err := plan.Manifest(ctx)
//
// As long as neither Project nor a variable MULTIMAGE_* changes, the plan is the
// same, and what it has built is not built again.
func Resolve(ctx context.Context) (*buildlib.Plan, error) {
	plan, err := resolve(ctx)
	return plan, cleaned(err)
}

func resolve(ctx context.Context) (*buildlib.Plan, error) {
	resolved.Lock()
	defer resolved.Unlock()
	from := snapshot(Project, os.Environ())
	if resolved.plan != nil && from != "" && from == resolved.from {
		return resolved.plan, nil
	}
	over, err := overrides(os.Environ())
	if err != nil {
		return nil, err
	}
	plan, err := Project.Plan(ctx, over)
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		shared().say("warning: %s", w)
	}
	plan.Progress = shared().event
	resolved.plan, resolved.from = plan, from
	return plan, nil
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

// run runs a stage of the plan until it ends, or is told to, or nobody waits
// for it any more. mage prints the error that it returns.
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

	plan, err := resolve(ctx)
	if err == nil {
		out := shared()
		out.start()
		defer out.stop()
		err = stage(ctx, plan, out)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // what was cut off has nothing to say
	}
	return cleaned(err)
}
