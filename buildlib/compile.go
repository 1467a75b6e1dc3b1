package buildlib

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// compilation is the running of a plan's Compiles. Each ends by itself, so
// that images of one platform are assembled while the next one compiles.
type compilation struct {
	calls []compiled // as Plan.Compiles
}

type compiled struct {
	Compile
	done        chan struct{} // closed when the rest is set
	build       gotool.Build
	executables []gotool.Executable
}

// jobs is how many go builds run at once. One of them keeps all cores busy
// while it compiles, but neither while it loads packages nor while it links the
// last main: with two on two cores a relink took a fifth less, an unchanged
// build too. More need more memory, hence the bound.
func (b *Builder) jobs() int {
	if b.options.Jobs > 0 {
		return b.options.Jobs
	}
	return min(4, runtime.NumCPU())
}

// compile starts the plan's calls of go build in g, in plan order. If they ran
// before, it returns what came of them.
func (w *workspace) compile(ctx context.Context, g *errgroup.Group) *compilation {
	if done := w.run.compilation; done != nil {
		return done
	}
	c := &compilation{calls: make([]compiled, len(w.plan.Compiles))}
	for i, call := range w.plan.Compiles {
		c.calls[i] = compiled{Compile: call, done: make(chan struct{})}
	}
	g.Go(func() error {
		slots := make(chan struct{}, w.jobs())
		for i := range c.calls {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error {
				defer func() { <-slots }()
				return w.compileOne(ctx, &c.calls[i])
			})
		}
		return nil
	})
	return c
}

func (w *workspace) compileOne(ctx context.Context, c *compiled) error {
	names := make([]string, len(c.Mains))
	build := gotool.Build{
		Env: c.Env, Args: c.Args,
		Folder: filepath.Join(w.private("kept"), filepath.FromSlash(c.Folder)),
		Temp:   w.scratch.Dir,
	}
	for i, m := range c.Mains {
		names[i] = m.Binary
		build.Mains = append(build.Mains, gotool.Main{Package: m.Package, File: m.File})
	}
	if err := w.folder(build.Folder); err != nil {
		return err
	}
	subject := strings.Join(names, ", ")
	step := w.begin(StepCompile, subject, c.Platform)
	executables, err := w.goTool().Build(ctx, build)
	if err != nil {
		step.failed(err)
		return fmt.Errorf("%s: go build %s: %w%s", c.Platform, packages(c.Mains), err, cgoHint(err))
	}
	c.build, c.executables = build, executables
	kept := 0
	for _, e := range executables {
		if e.Kept {
			kept++
		}
	}
	detail := ""
	switch kept {
	case 0:
	case len(executables):
		detail = "unchanged"
	default:
		detail = fmt.Sprintf("%d of %d unchanged", kept, len(executables))
	}
	step.done(detail)
	close(c.done)
	return nil
}

func packages(mains []Main) string {
	paths := make([]string, len(mains))
	for i, m := range mains {
		paths[i] = m.Package
	}
	return strings.Join(paths, " ")
}

// cgoHint explains what the compiler can't know: a dependency without cgo may
// have no files, or lack the names that its cgo files declare.
func cgoHint(err error) string {
	if strings.Contains(err.Error(), "build constraints exclude all Go files") {
		return "\nmultimage compiles with CGO_ENABLED=0: a package that needs cgo has no files then, and wants a pure Go alternative"
	}
	return ""
}

// of returns the calls that make an image's binaries for a platform, and waits
// for their end.
func (c *compilation) of(ctx context.Context, pp PlatformPlan) (map[string]gotool.Executable, error) {
	found := map[string]gotool.Executable{}
	for i := range c.calls {
		call := &c.calls[i]
		if call.Platform != pp.Platform {
			continue
		}
		for j, m := range call.Mains {
			if !slices.ContainsFunc(pp.Binaries, func(b PlacedBinary) bool { return b.Binary == m.Binary }) {
				continue
			}
			select {
			case <-call.done:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			found[m.Binary] = call.executables[j]
		}
	}
	return found, nil
}

// publishBinaries puts what was compiled into OUTPUT/bin: links to the kept
// files, made beside first, so that a full disk leaves bin as it was.
func (w *workspace) publishBinaries(ctx context.Context, c *compilation) ([]BinaryResult, error) {
	var results []BinaryResult
	staged := map[string]string{} // by destination
	for i := range c.calls {
		call := &c.calls[i]
		for j, m := range call.Mains {
			e := call.executables[j]
			r := BinaryResult{
				Name: m.Binary, Platform: call.Platform,
				Path:   filepath.Join(w.plan.Output, filepath.FromSlash(m.Output)),
				Digest: e.Digest, Size: e.Size, Unchanged: e.Kept,
			}
			results = append(results, r)
			if disk.Same(e.Path, r.Path) {
				continue
			}
			at := filepath.Join(w.scratch.Dir, fmt.Sprint("bin-", len(results)))
			if err := disk.Link(ctx, e.Path, at, w.scratch.Dir, e.Digest); err != nil {
				return nil, fmt.Errorf("binary %s: %s: %w", m.Binary, call.Platform, err)
			}
			staged[r.Path] = at
		}
	}
	for path, at := range staged {
		if err := w.folder(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("binary %s: %w", path, err)
		}
		if err := os.Rename(at, path); err != nil {
			return nil, fmt.Errorf("binary %s: %w", path, err)
		}
	}
	if len(staged) == 0 {
		return results, nil
	}
	for i := range c.calls {
		if err := c.calls[i].build.Linked(); err != nil {
			return nil, err
		}
	}
	return results, nil
}
