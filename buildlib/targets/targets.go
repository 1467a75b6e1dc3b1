// Package targets is multimage for magefiles: import it, and your project has its
// targets.
//
//	//mage:import
//	_ "github.com/multimage/multimage/buildlib/targets"
//
// Set [Project] in an init function to change the defaults. The environment
// variables MULTIMAGE_* override it for one run. Each target runs those it needs,
// once per run of mage, and may be called from a target of your own:
// targets.Images(ctx).
package targets

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/multimage/multimage/buildlib"
)

// Project is what the targets build. Set it in an init function. The zero
// value builds every main package for linux/amd64 and linux/arm64.
var Project buildlib.Project

// Binaries cross-compiles the binaries for every platform, into dist/bin
func Binaries(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		built, err := b.Binaries(ctx)
		if err != nil {
			return err
		}
		return out.binaries(b.Plan(), built)
	})
}

// Images makes the container images, as OCI layouts in dist/oci
func Images(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		images, err := b.Images(ctx)
		if err != nil {
			return err
		}
		return out.images(b.Plan(), images)
	})
}

// Manifest publishes the images: a tagged multi-platform index in each registry
func Manifest(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		images, err := b.Manifest(ctx)
		if err != nil {
			out.failed(ctx, images)
			return err
		}
		return out.published(b.Plan(), images)
	})
}

// Bench measures native against emulated builds, into dist/bench
func Bench(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		result, err := benchOnce(ctx, b)
		if result != nil {
			// A joined error hides the exit status that mage asks an error for.
			if printing := out.benched(result); printing != nil {
				return errors.Join(err, printing)
			}
		}
		return err
	})
}

// Load puts the images into the local Docker, Podman or cluster
func Load(ctx context.Context) error {
	return show(ctx, (*buildlib.Builder).Load, (*console).loaded)
}

// Archive writes each image with all its platforms as one OCI archive, in dist/archive
func Archive(ctx context.Context) error {
	return show(ctx, (*buildlib.Builder).Archive, (*console).archived)
}

// Smoke runs each platform's image with its Smoke, as manifest does before tags move
func Smoke(ctx context.Context) error {
	return show(ctx, (*buildlib.Builder).Smoke, (*console).smoked)
}

// Pin writes the digests of what was published into a YAML file of a deployment
func Pin(ctx context.Context, file string) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		pinned, err := b.Pin(ctx, file)
		if err != nil {
			return err
		}
		var text strings.Builder
		for _, p := range pinned {
			fmt.Fprintf(&text, "%s:%d: %s\n", file, p.Line, p.To)
		}
		return out.result(clean(text.String()))
	})
}

// Lock chooses the images' packages, into multimage.lock
func Lock(ctx context.Context) error {
	return show(ctx, (*buildlib.Builder).Lock, (*console).locked)
}

// Plan prints what would be built, and builds nothing
func Plan(ctx context.Context) error {
	return run(ctx, func(_ context.Context, b *buildlib.Builder, out *console) error {
		return out.result(clean(b.Plan().String()))
	})
}
