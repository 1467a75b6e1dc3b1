package buildlib

import (
	"context"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// BaseChange is a base whose reference now leads to another image than when its
// packages were locked.
type BaseChange struct {
	Image    string   `json:"image"`
	Platform Platform `json:"platform"`
	Base     string   `json:"base"`
	Old      string   `json:"old"` // digests of the base's manifest for the platform
	New      string   `json:"new"`
}

// Outdated lists what Lock would change.
type Outdated struct {
	Bases    []BaseChange    `json:"bases"`
	Packages []PackageChange `json:"packages"`
}

// Outdated finds the bases that have moved to another digest since Lock, and the
// packages that Lock would choose now. It builds and writes nothing.
func (b *Builder) Outdated(ctx context.Context) (Outdated, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return within(ctx, b, func(ctx context.Context, w *workspace) (Outdated, error) {
		locks, changes, err := w.choose(ctx)
		if err != nil {
			return Outdated{}, err
		}
		found := Outdated{Bases: []BaseChange{}, Packages: append([]PackageChange{}, changes...)}
		for _, ip := range w.plan.ImagePlans {
			for _, pp := range ip.Platforms {
				i := slices.IndexFunc(locks, func(l packages.Lock) bool { return l.Image == ip.Name && l.Platform == pp.Platform.String() })
				if pp.Lock != nil && i >= 0 && pp.Lock.Digest != locks[i].Digest {
					found.Bases = append(found.Bases, BaseChange{ip.Name, pp.Platform, pp.Base, pp.Lock.Digest, locks[i].Digest})
				}
			}
		}
		return found, nil
	})
}
