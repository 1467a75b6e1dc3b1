package buildlib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/publish"
)

// runState remembers the stages that ran. Who calls a stage of a Plan holds mu.
type runState struct {
	mu          sync.Mutex
	compilation *compilation // once it succeeded
	binaries    once[[]BinaryResult]
	images      once[[]built]
	published   once[[]ImageResult]
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
	return stage(ctx, w)
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
			return w.publishBinaries(c)
		})
	})
}

// Images runs Binaries, assembles the images, and writes each as an OCI image
// layout to OUTPUT/oci/NAME. It touches no registry but to pull a base.
func (p *Plan) Images(ctx context.Context) ([]ImageResult, error) {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	if err := p.hasImages(); err != nil {
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
		all, err := w.build(ctx)
		if err != nil {
			return nil, err
		}
		_, err = w.plan.run.binaries.do(func() ([]BinaryResult, error) {
			return w.publishBinaries(w.plan.run.compilation)
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
	g, gctx := errgroup.WithContext(ctx)
	c := w.compile(gctx, g)
	join := w.newAssembly(c).assemble(gctx, g)
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
			err := publish.WriteLayout(ctx, b.Layout, b.index, publish.LayoutOptions{
				Tags: b.Tags, Link: w.store.Link,
				Private: filepath.Join(w.private("layouts"), strings.ReplaceAll(b.Name, "/", "+")),
			})
			if err != nil {
				return fmt.Errorf("image %s: %w", b.Name, err)
			}
			end(b.Digest.String())
			return nil
		})
	}
	return g.Wait()
}

// Manifest runs Images and publishes: to each of an image's repositories the
// images by digest, the index, and then its tags, which are read back and
// compared. Without registries the layout has the tags already. What was
// published is in OUTPUT/images.json.
func (p *Plan) Manifest(ctx context.Context) ([]ImageResult, error) {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	return p.run.published.do(func() ([]ImageResult, error) {
		if p.Unversioned && p.publishes() {
			return nil, errors.New("version: there is no git commit to name what is published, and \"dev\" is pushed nowhere: set MULTIMAGE_VERSION or the Project's Version")
		}
		if err := p.hasImages(); err != nil {
			return nil, err
		}
		return within(ctx, p, func(ctx context.Context, w *workspace) ([]ImageResult, error) {
			all, err := w.images(ctx)
			if err != nil {
				return nil, err
			}
			if err := w.publishAll(ctx, all); err != nil {
				return nil, err
			}
			list := results(all)
			data, err := json.MarshalIndent(list, "", "  ")
			if err != nil {
				return nil, err
			}
			at := filepath.Join(p.Output, "images.json")
			return list, disk.WriteBytes(at, w.scratch.Dir, 0o644, append(data, '\n'))
		})
	})
}

func (p *Plan) publishes() bool {
	for _, ip := range p.ImagePlans {
		if len(ip.Repositories) > 0 {
			return true
		}
	}
	return false
}

// publishAll publishes each image to each of its repositories. A repository
// that fails doesn't stop the others: the error names all that failed.
func (w *workspace) publishAll(ctx context.Context, all []built) error {
	var g errgroup.Group
	var failed [][]error
	for i := range all {
		b := &all[i]
		failed = append(failed, make([]error, len(b.plan.Repositories)))
		for j, repo := range b.plan.Repositories {
			b.Refs = append(b.Refs, Ref{repo, b.Digest})
			g.Go(func() error {
				failed[i][j] = w.publishOne(ctx, b, repo)
				return nil
			})
		}
	}
	g.Wait()
	var errs []error
	for _, list := range failed {
		errs = append(errs, list...)
	}
	return errors.Join(errs...)
}

func (w *workspace) publishOne(ctx context.Context, b *built, repo string) error {
	at, err := w.client.Repository(repo)
	if err != nil {
		return fmt.Errorf("image %s: %w", b.Name, err)
	}
	end := w.plan.begin(StepPush, repo, "")
	done, err := w.client.Publish(ctx, at, b.index, b.Tags, nil)
	if err != nil {
		return fmt.Errorf("image %s: %w", b.Name, err)
	}
	end(describe(done))
	return nil
}

// describe says what a publication did.
func describe(done publish.Published) string {
	var pushed []string
	for _, t := range done.Tags {
		if t.Pushed {
			pushed = append(pushed, t.Tag)
		}
	}
	switch {
	case len(done.Tags) > 0 && len(pushed) == 0:
		return "up to date"
	case done.Uploaded > 0:
		blobs := "blobs"
		if done.Uploaded == 1 {
			blobs = "blob"
		}
		return fmt.Sprintf("%s: %d %s, %.1f MB", strings.Join(pushed, ", "), done.Uploaded, blobs, float64(done.Bytes)/1e6)
	}
	return strings.Join(pushed, ", ") + ": no blob was missing"
}
