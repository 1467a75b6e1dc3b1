package buildlib

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/publish"
)

// runState remembers the stages that ran. Who calls a stage of a Plan holds mu.
type runState struct {
	mu          sync.Mutex
	compilation *compilation // once it succeeded
	binaries    once[[]BinaryResult]
	images      once[[]built]
	published   once[[]ImageResult]
	pushed      once[[]Record]
	loaded      once[[]LoadResult]
	benched     once[*BenchResult]
}

// once is a stage's result, kept for the second call of it.
type once[T any] struct {
	done  bool
	value T
	err   error
}

func (o *once[T]) do(f func() (T, error)) (T, error) {
	if !o.done {
		o.value, o.err = f()
		o.done = true
	}
	return o.value, o.err
}

// within runs a stage in the output folder, locked, and with the cache.
func within[T any](ctx context.Context, p *Plan, stage func(context.Context, *workspace) (T, error)) (result T, err error) {
	w, ctx, err := p.open(ctx)
	if err != nil {
		return result, err
	}
	defer func() {
		// Joined only if need be: a caller may look for the error's type.
		if closing := w.close(); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	result, err = stage(ctx, w)
	return result, w.client.Clean(err)
}

// Binaries cross-compiles every binary for its platforms into OUTPUT/bin, which
// stays as it was if one of them fails.
func (p *Plan) Binaries(ctx context.Context) ([]BinaryResult, error) {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	return p.run.binaries.do(func() ([]BinaryResult, error) {
		return within(ctx, p, func(ctx context.Context, w *workspace) ([]BinaryResult, error) {
			g, gctx := errgroup.WithContext(ctx)
			c := w.compile(gctx, g)
			if err := g.Wait(); err != nil {
				return nil, err
			}
			p.run.compilation = c
			return w.publishBinaries(ctx, c)
		})
	})
}

// Images runs Binaries, assembles the images, and writes each as an OCI image
// layout to OUTPUT/oci/NAME. It touches no registry but to pull a base.
func (p *Plan) Images(ctx context.Context) ([]ImageResult, error) {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	if err := errors.Join(p.hasImages(), p.hasSources()); err != nil {
		return nil, err
	}
	all, err := within(ctx, p, func(ctx context.Context, w *workspace) ([]built, error) { return w.images(ctx) })
	return results(all), err
}

func results(all []built) []ImageResult {
	var list []ImageResult
	for _, b := range all {
		list = append(list, b.ImageResult)
	}
	return list
}

func (w *workspace) images(ctx context.Context) ([]built, error) {
	return w.plan.run.images.do(func() ([]built, error) {
		if err := w.checkLayouts(ctx); err != nil {
			return nil, err
		}
		all, err := w.build(ctx)
		if err != nil {
			return nil, err
		}
		_, err = w.plan.run.binaries.do(func() ([]BinaryResult, error) {
			return w.publishBinaries(ctx, w.plan.run.compilation)
		})
		if err != nil {
			return nil, err
		}
		return all, w.writeLayouts(ctx, all)
	})
}

// hasImages is an error if there is nothing to make an image of.
func (p *Plan) hasImages() error {
	if len(p.ImagePlans) > 0 {
		return nil
	}
	if len(p.Skipped) > 0 {
		return fmt.Errorf("no image is left: the platforms asked for leave out %s (images are for linux for now)", strings.Join(p.Skipped, ", "))
	}
	return errors.New("the project has no image: none of its binaries is built for a linux platform, and images are for linux for now")
}

// build compiles and assembles, one platform's images while the next platform
// compiles.
func (w *workspace) build(ctx context.Context) ([]built, error) {
	ignore, err := w.plan.ignore()
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	c := w.compile(gctx, g)
	join := w.newAssembly(gctx, c, ignore).assemble(gctx, g)
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.plan.run.compilation = c
	return join()
}

// log hands detail to whoever looks.
func (p *Plan) log(format string, args ...any) {
	p.tell(StepDetail, fmt.Sprintf(format, args...))
}

// writeLayouts writes every image's layout.
func (w *workspace) writeLayouts(ctx context.Context, all []built) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range all {
		g.Go(func() error {
			end := w.plan.begin(StepLayout, b.Name, "")
			o := w.layoutOptions(b.Name, b.Tags)
			err := errors.Join(w.folder(b.Layout), w.folder(o.Private))
			if err == nil {
				err = publish.WriteLayout(ctx, b.Layout, b.index, o)
			}
			if err != nil {
				return fmt.Errorf("image %s: %w", b.Name, err)
			}
			end(b.Digest.String())
			return nil
		})
	}
	return g.Wait()
}

func (w *workspace) layoutOptions(image string, tags []string) publish.LayoutOptions {
	return publish.LayoutOptions{
		Tags: tags, Link: w.store.Link,
		Private: filepath.Join(w.private("layouts"), strings.ReplaceAll(image, "/", "+")),
	}
}

// checkLayouts is an error if a layout can't be written because its folder is
// in use for something else.
func (w *workspace) checkLayouts(ctx context.Context) error {
	var errs []error
	for _, ip := range w.plan.ImagePlans {
		if err := publish.CheckLayout(ctx, w.plan.layout(ip.Name), w.layoutOptions(ip.Name, ip.Tags)); err != nil {
			errs = append(errs, fmt.Errorf("image %s: %w", ip.Name, err))
		}
	}
	return errors.Join(errs...)
}
