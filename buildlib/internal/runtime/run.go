package runtime

import (
	"context"
	"errors"
)

// Run runs the program in a sandbox: new namespaces without a network, with the
// image's files only. Where the kernel allows none, a container engine runs it. The
// error is a *Failed, an *Unavailable, or says that the image can't be unpacked.
func (p Program) Run(ctx context.Context) error {
	err := p.sandbox(ctx)
	unavailable, ok := errors.AsType[*Unavailable](err)
	if !ok || p.Interpreter != "" {
		return err
	}
	find := FindEngine
	if p.Engine == "docker" || p.Engine == "podman" {
		find = func(ctx context.Context) (Engine, error) { return NamedEngine(ctx, p.Engine) }
	}
	engine, missing := find(ctx)
	if missing != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Unavailable{unavailable.Reason + "; " + missing.Error()}
	}
	return engine.try(ctx, p)
}
