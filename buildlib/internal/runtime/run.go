package runtime

import (
	"context"
	"errors"
)

// Run runs the program in a sandbox: new namespaces, with no network, in which the
// image's files are all there is. Where the kernel allows none, it has a container
// engine run it. The error is a *Failed, an *Unavailable, or says that the image
// can't be unpacked.
func (p Program) Run(ctx context.Context) error {
	err := p.sandbox(ctx)
	var no *Unavailable
	if !errors.As(err, &no) || p.Interpreter != "" {
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
		return &Unavailable{no.Reason + "; " + missing.Error()}
	}
	return engine.try(ctx, p)
}
