package buildlib

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/runtime"
)

// Load loads each image into the engine of this machine (Options.Engine), for the
// engine's platform, or for the only one that Overrides.Platforms leaves. There the
// image has each name that Manifest would push, or NAME:TAG without registries. Load
// compiles for that platform only.
func (b *Builder) Load(ctx context.Context) ([]LoadResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.loaded.do(func() ([]LoadResult, error) {
		if err := errors.Join(b.plan.hasImages(), b.plan.hasSources()); err != nil {
			return nil, err
		}
		engine, err := b.engine(ctx)
		if err != nil {
			return nil, err
		}
		target := engine.Platform
		if only, ok := b.plan.onlyPlatform(); ok {
			target = v1.Platform{OS: only.OS, Architecture: only.Architecture, Variant: only.Variant}
		}
		fitting, err := b.plan.limitedTo(target)
		if err != nil {
			return nil, fmt.Errorf("load: %s runs %s: %w", engine.Name, engine.Platform, err)
		}
		return within(ctx, b.with(fitting), func(ctx context.Context, w *workspace) ([]LoadResult, error) {
			all, err := w.build(ctx)
			if err != nil {
				return nil, err
			}
			b.run.loading = w.run.compilation
			return w.load(ctx, engine, all)
		})
	})
}

func (b *Builder) engine(ctx context.Context) (runtime.Engine, error) {
	if b.options.Engine == "" {
		return runtime.FindEngine(ctx)
	}
	e, err := runtime.NamedEngine(ctx, b.options.Engine)
	if err != nil {
		err = fmt.Errorf("Options.Engine: %w", err)
	}
	return e, err
}

// onlyPlatform is the single platform that Overrides leave, if they do. It is loaded
// even if the engine needs emulation to run it.
func (p *Plan) onlyPlatform() (only Platform, ok bool) {
	for _, ip := range p.ImagePlans {
		for _, pp := range ip.Platforms {
			if ok && pp.Platform != only {
				return Platform{}, false
			}
			only, ok = pp.Platform, true
		}
	}
	return only, ok && p.Limits.Platforms
}

// limitedTo returns a plan with only one platform of each image, the one that an
// engine of the platform runs best, and with only the binaries for that.
func (p *Plan) limitedTo(engine v1.Platform) (*Plan, error) {
	only := platforms.Only(platforms.Normalize(platforms.Platform{OS: engine.OS, Architecture: engine.Architecture, Variant: engine.Variant}))
	limited := *p
	limited.ImagePlans = nil
	limited.Checkout = Checkout{} // only what is published has to match the commit
	limited.Evidence = nil        // an engine takes none
	needed := map[item]bool{}
	for _, ip := range p.ImagePlans {
		var best *PlatformPlan
		var has []Platform
		for i := range ip.Platforms {
			pp := &ip.Platforms[i]
			has = append(has, pp.Platform)
			spec := pp.Platform.containerd()
			if only.Match(spec) && (best == nil || only.Less(spec, best.Platform.containerd())) {
				best = pp
			}
		}
		if best == nil {
			return nil, fmt.Errorf("image %s is for %s: add the engine's platform to Platforms or Overrides.Platforms", ip.Name, join(has))
		}
		ip.Platforms = []PlatformPlan{*best}
		limited.ImagePlans = append(limited.ImagePlans, ip)
		for _, b := range best.Binaries {
			needed[item{b.Binary, best.Platform}] = true
		}
	}
	limited.Compiles = compilesFor(p.Compiles, needed)
	return &limited, nil
}

// load pipes the images into the engine.
func (w *workspace) load(ctx context.Context, engine runtime.Engine, all []built) ([]LoadResult, error) {
	loaded := make([]LoadResult, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // an engine unpacks one after the other
	for i, b := range all {
		g.Go(func() (err error) {
			step := w.begin(StepLoad, b.Name, b.Platforms[0].Platform.String())
			defer func() { step.Failed(err) }()
			tags, err := b.plan.names()
			if err != nil {
				return fmt.Errorf("load: image %s: %w", b.Name, err)
			}
			platform := b.Platforms[0].Platform
			in, err := engine.LoadFor(ctx, platform.String(), b.images[0], tags...)
			if errors.Is(err, disk.ErrContent) {
				in, err = engine.LoadFor(ctx, platform.String(), b.images[0], tags...) // the cache has dropped what was corrupt
			}
			if err != nil {
				return fmt.Errorf("load: image %s: %w", b.Name, err)
			}
			step.Done(strings.Join(in.Names, " "))
			loaded[i] = LoadResult{Name: b.Name, Engine: engine.Name, Platform: platform, Refs: in.Names, Note: in.Note}
			if engine.Runs() {
				loaded[i].Run = engine.Name + " run --rm "
				if platform.OS != engine.Platform.OS || platform.Architecture != engine.Platform.Architecture {
					loaded[i].Run += "--platform " + platform.String() + " "
				}
				loaded[i].Run += in.Names[0]
			}
			return nil
		})
	}
	return loaded, g.Wait()
}

// names are the names that the image gets, one for each repository and tag.
func (ip ImagePlan) names() ([]name.Tag, error) {
	repos := ip.Repositories
	if len(repos) == 0 {
		repos = []string{ip.Name}
	}
	var tags []name.Tag
	for _, repo := range repos {
		for _, tag := range ip.allTags() {
			t, err := name.NewTag(repo + ":" + tag)
			if err != nil {
				return nil, err
			}
			tags = append(tags, t)
		}
	}
	if len(tags) == 0 {
		return nil, errors.New("it has no tag to be named by: set Tags")
	}
	return tags, nil
}
