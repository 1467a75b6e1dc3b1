package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// jobs is how many go builds run at once. One keeps all cores busy while it compiles,
// but not while it loads packages or links the last main: two on two cores took a
// fifth less time to relink, and as much less if nothing had changed. More need more
// memory, hence the bound.
//
// A build that writes the build cache runs alone, so that what it uses of GOCACHE
// can be told.
func (b *Builder) jobs() int {
	if b.options.WriteBuildCache && b.plan.BuildCache != "" {
		return 1
	}
	if b.options.Jobs > 0 {
		return b.options.Jobs
	}
	return min(4, runtime.NumCPU())
}

// compile starts the plan's calls of go build in g, in plan order. If they have run
// before, it returns their results.
func (w *workspace) compile(ctx context.Context, g *errgroup.Group) *compilation {
	if done := w.run.compilation; done != nil {
		return done
	}
	c := &compilation{calls: make([]compiled, len(w.plan.Compiles))}
	for i, call := range w.plan.Compiles {
		c.calls[i].Compile, c.calls[i].done = call, make(chan struct{})
	}
	cache := w.restoreBuildCache(ctx, g)
	g.Go(func() error {
		if err := cache.awaitModules(ctx); err != nil {
			return err
		}
		inputs, err := w.plan.inputs(ctx)
		if err == nil {
			err = w.checkInputs(inputs)
		}
		if err != nil {
			return err
		}
		g.Go(func() error { return w.warnOfSources(ctx, inputs) })
		for i := range inputs {
			c.calls[i].inputs = inputs[i]
		}
		slots := make(chan struct{}, w.jobs())
		for i := range c.calls {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error {
				defer func() { <-slots }()
				return w.compileOne(ctx, &c.calls[i], cache)
			})
		}
		return nil
	})
	return c
}

func (w *workspace) compileOne(ctx context.Context, c *compiled, cache *buildCache) error {
	names := make([]string, len(c.Mains))
	build := w.plan.build(c.Compile, w.scratch.Dir)
	for i, m := range c.Mains {
		names[i] = m.Binary
	}
	if err := w.folder(build.Folder); err != nil {
		return err
	}
	built, err := cache.before(ctx, c.Compile, build)
	if err != nil {
		return err
	}
	subject := strings.Join(names, ", ")
	step := w.begin(StepCompile, subject, c.Platform.String())
	build.Progress = step.packages
	executables, err := w.goTool(c.Compile).Build(ctx, build)
	if err != nil {
		step.Failed(err)
		return fmt.Errorf("%s: go build %s: %w%s", c.Platform, packagesOf(c.Mains), err, cgoHint(err, c.inputs))
	}
	if err := build.KeepInputs(c.inputs); err != nil {
		step.Failed(err)
		return fmt.Errorf("%s: %w", c.Platform, err)
	}
	built(executables)
	build.Progress = nil // the step ends here
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
	step.Done(detail)
	close(c.done)
	return nil
}

// cgoHint explains what the compiler can't know: without cgo, a dependency may have no
// files, or lack the names that its cgo files declare.
func cgoHint(err error, in gotool.Inputs) string {
	text := err.Error()
	if strings.Contains(text, "C compiler ") && strings.Contains(text, " not found") {
		return "\ninstall it here (Debian's for arm64 is in gcc-aarch64-linux-gnu), or name another in Go.CGO"
	}
	if len(in.Cgo) == 0 || !strings.Contains(text, "undefined: ") && !strings.Contains(text, "build constraints exclude all Go files") {
		return ""
	}
	return "\nmultimage compiles with CGO_ENABLED=0, which leaves out files of " + strings.Join(in.Cgo, ", ") + ": what they declare is missing; look for a pure Go alternative, or name C compilers in Go.CGO"
}

// buildAgain removes the executable at path, which has changed since it was hashed,
// and runs the call c again. go would keep it, as it looks only at the build ID.
func (w *workspace) buildAgain(ctx context.Context, c *compiled, path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rebuilt[path] {
		return nil // for another image that has it
	}
	w.log("%s is damaged: it is built again", path)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	executables, err := w.goTool(c.Compile).Build(ctx, c.build)
	if err != nil {
		return fmt.Errorf("%s: go build %s: %w", c.Platform, packagesOf(c.Mains), err)
	}
	c.executables = executables
	if c.rebuilt == nil {
		c.rebuilt = map[string]bool{}
	}
	c.rebuilt[path] = true
	return nil
}

// repair builds the executable at path again, if it is one of the compilation's.
func (w *workspace) repair(ctx context.Context, c *compilation, path string) (bool, error) {
	for i := range c.calls {
		call := &c.calls[i]
		if filepath.Dir(path) == w.plan.kept(call.Compile) {
			return true, w.buildAgain(ctx, call, path)
		}
	}
	return false, nil
}

// binaries waits for an image's binaries for a platform, and returns the executables.
func (c *compilation) binaries(ctx context.Context, pp PlatformPlan) (map[string]gotool.Executable, error) {
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
			call.mu.Lock()
			found[m.Binary] = call.executables[j]
			call.mu.Unlock()
		}
	}
	return found, nil
}

// publishBinaries links the kept executables into OUTPUT/bin. The links are made
// elsewhere first, so that a full disk leaves bin as it was.
func (w *workspace) publishBinaries(ctx context.Context, c *compilation) ([]BinaryResult, error) {
	w.sweepKept(time.Now())
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
			if err := w.link(ctx, call, j, at); err != nil {
				return nil, fmt.Errorf("binary %s: %s: %w", m.Binary, call.Platform, err)
			}
			staged[r.Path] = at
		}
	}
	for path, at := range staged {
		if err := w.folder(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("binary %s: %w", path, err)
		}
		if err := disk.Rename(at, path); err != nil {
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

// link links the executable j of the call to at. Where links aren't possible it copies
// it, and builds it again if its content is wrong.
func (w *workspace) link(ctx context.Context, call *compiled, j int, at string) error {
	e := call.executables[j]
	err := disk.Link(ctx, e.Path, at, w.scratch.Dir, e.Digest)
	if !errors.Is(err, disk.ErrContent) {
		return err
	}
	if err := w.buildAgain(ctx, call, e.Path); err != nil {
		return err
	}
	e = call.executables[j]
	return disk.Link(ctx, e.Path, at, w.scratch.Dir, e.Digest)
}
