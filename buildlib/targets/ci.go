package targets

import (
	"context"
	"encoding/json"

	"github.com/magefile/mage/mg"

	"github.com/multimage/multimage/buildlib"
)

// CI holds the targets of a build that is spread over several machines: they
// share the work by platform, and meet at the registry.
type CI mg.Namespace

// Matrix prints the platforms as JSON, for the matrix of a CI system
func (CI) Matrix(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		matrix, err := b.Matrix(ctx)
		if err != nil {
			return err
		}
		data, err := json.Marshal(matrix)
		if err != nil {
			return err
		}
		return out.result(string(data) + "\n")
	})
}

// Push builds this machine's platforms and pushes them, by digest and without a tag
func (CI) Push(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		records, err := b.Push(ctx)
		if err != nil {
			out.pushFailed(ctx, b.Plan(), records)
			return err
		}
		return out.pushed(b.Plan(), records)
	})
}

// Merge publishes what ci:push pushed from all machines: dir holds their dist/digests
func (CI) Merge(ctx context.Context, dir string) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		images, err := b.Merge(ctx, dir)
		if err != nil {
			out.failed(ctx, images)
			return err
		}
		return out.published(b.Plan(), images)
	})
}
