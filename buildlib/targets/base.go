package targets

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/magefile/mage/mg"

	"github.com/multimage/multimage/buildlib"
)

// Base holds the targets for base images.
type Base mg.Namespace

// statusOutdated is mage's exit status if something would change.
const statusOutdated = 2

// Build builds the bases from Dockerfiles that are not built yet
func (Base) Build(ctx context.Context) error {
	return show(ctx, (*buildlib.Builder).BuildBases, (*console).bases)
}

// Outdated tells which bases and packages would change, also as JSON; exit status 2: some
func (Base) Outdated(ctx context.Context) error {
	return run(ctx, func(ctx context.Context, b *buildlib.Builder, out *console) error {
		found, err := b.Outdated(ctx)
		if err != nil {
			return err
		}
		data, err := json.MarshalIndent(found, "", "  ")
		if err != nil {
			return err
		}
		if err := out.outdated(found, string(data)+"\n"); err != nil {
			return err
		}
		if len(found.Bases)+len(found.Packages) > 0 {
			command := "mage lock"
			if slices.ContainsFunc(found.Bases, func(c buildlib.BaseChange) bool { return c.Old == "" }) {
				command = "mage base:build lock"
			}
			return mg.Fatalf(statusOutdated, "%d bases and %d packages are outdated: run %s", len(found.Bases), len(found.Packages), command)
		}
		return nil
	})
}
