package buildlib

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/layout"
	"golang.org/x/sync/errgroup"
)

// Binaries cross-compiles every binary for its platforms into OUTPUT/bin, which
// stays as it was if one of them fails.
func (b *Builder) Binaries(ctx context.Context) ([]BinaryResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.binaries.do(func() ([]BinaryResult, error) {
		return within(ctx, b, func(ctx context.Context, w *workspace) ([]BinaryResult, error) {
			g, gctx := errgroup.WithContext(ctx)
			c := w.compile(gctx, g)
			if err := g.Wait(); err != nil {
				return nil, err
			}
			b.run.compilation = c
			if err := w.unchanged(ctx); err != nil {
				return nil, err
			}
			return w.publishBinaries(ctx, c)
		})
	})
}

// Images runs Binaries, assembles the images, and writes each as an OCI image
// layout to OUTPUT/oci/NAME. It uses registries only to pull bases and for the
// build cache.
func (b *Builder) Images(ctx context.Context) ([]ImageResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.plan.hasImages(), b.plan.hasSources()); err != nil {
		return nil, err
	}
	all, err := within(ctx, b, func(ctx context.Context, w *workspace) ([]built, error) { return w.images(ctx) })
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
	return w.run.images.do(func() ([]built, error) {
		if err := w.checkLayouts(ctx); err != nil {
			return nil, err
		}
		all, err := w.build(ctx)
		if err != nil {
			return nil, err
		}
		_, err = w.run.binaries.do(func() ([]BinaryResult, error) {
			return w.publishBinaries(ctx, w.run.compilation)
		})
		if err != nil {
			return nil, err
		}
		return all, errors.Join(w.writeLayouts(ctx, all), w.writeEvidence(all))
	})
}

// hasImages is an error if the plan has no image.
func (p *Plan) hasImages() error {
	if len(p.ImagePlans) > 0 {
		return nil
	}
	if len(p.Skipped) > 0 {
		return fmt.Errorf("no image is left: the platforms asked for leave out %s (images are for linux, and for windows where their Platforms say so)", strings.Join(p.Skipped, ", "))
	}
	return errors.New("the project has no image: none of its binaries is built for a linux platform, and images for windows are made where their Platforms say so")
}

// build compiles and assembles, one platform's images while the next platform
// compiles.
func (w *workspace) build(ctx context.Context) ([]built, error) {
	ignore, err := w.plan.ignore(w.options.Cache)
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	c := w.compile(gctx, g)
	a := w.newAssembly(gctx, c, ignore)
	join := a.assemble(gctx, g)
	err = g.Wait()
	w.logLeftovers(a.close())
	if err != nil {
		return nil, err
	}
	w.run.compilation = c
	if err := w.unchanged(ctx); err != nil {
		return nil, err
	}
	return join()
}

// writeLayouts writes every image's layout.
func (w *workspace) writeLayouts(ctx context.Context, all []built) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range all {
		g.Go(func() error {
			step := w.begin(StepLayout, b.Name, "")
			o := w.layoutOptions(b.Name, b.Tags, b.Platforms)
			err := errors.Join(w.folder(b.Layout), w.folder(o.Private))
			if err == nil {
				err = layout.Write(ctx, b.Layout, b.index, o)
			}
			if err != nil {
				step.Failed(err)
				return fmt.Errorf("image %s: %w", b.Name, err)
			}
			step.Done(b.Digest.String())
			return nil
		})
	}
	return g.Wait()
}

func (w *workspace) layoutOptions(image string, tags []string, platforms []PlatformResult) layout.Options {
	images := map[string]v1.Hash{}
	for _, p := range platforms {
		for _, tag := range p.Tags {
			images[tag] = p.Digest
		}
	}
	return layout.Options{
		Tags: tags, Images: images, Link: w.store.Link,
		Private: filepath.Join(w.private("layouts"), strings.ReplaceAll(image, "/", "+")),
	}
}

// checkLayouts is an error if a layout's folder is in use for something else.
func (w *workspace) checkLayouts(ctx context.Context) error {
	var errs []error
	for _, ip := range w.plan.ImagePlans {
		if err := layout.Check(ctx, w.plan.layout(ip.Name), w.layoutOptions(ip.Name, ip.allTags(), nil)); err != nil {
			errs = append(errs, fmt.Errorf("image %s: %w", ip.Name, err))
		}
	}
	return errors.Join(errs...)
}
