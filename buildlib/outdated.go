package buildlib

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// BaseChange is a base whose reference now leads to another image than when its
// packages were locked, or a base from a Dockerfile that isn't built yet.
type BaseChange struct {
	Image    string   `json:"image"`
	Platform Platform `json:"platform"`
	Base     string   `json:"base"`
	// Old and New are digests of the base's manifest for the platform. If Old is empty,
	// New is the reference that BuildBases would give the base.
	Old string `json:"old,omitempty"`
	New string `json:"new"`
}

// Outdated lists what Lock and BuildBases would change.
type Outdated struct {
	Bases    []BaseChange    `json:"bases"`
	Packages []PackageChange `json:"packages"`
}

// Outdated finds the bases that have moved to another digest since Lock; bases from
// Dockerfiles that have to be built, because the Dockerfile or an image in its FROM
// has changed; and the packages that Lock would choose now. It builds and writes
// nothing.
func (b *Builder) Outdated(ctx context.Context) (Outdated, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return within(ctx, b, func(ctx context.Context, w *workspace) (Outdated, error) {
		missing, err := w.unbuilt(ctx)
		if err != nil {
			return Outdated{}, err
		}
		locks, changes, err := w.choose(ctx, slices.Collect(maps.Keys(missing)))
		if err != nil {
			return Outdated{}, err
		}
		found := Outdated{Bases: []BaseChange{}, Packages: append([]PackageChange{}, changes...)}
		for _, ip := range w.plan.ImagePlans {
			for _, pp := range ip.Platforms {
				if ref, ok := missing[pp.Base]; ok {
					found.Bases = append(found.Bases, BaseChange{Image: ip.Name, Platform: pp.Platform, Base: pp.Base, New: ref})
				}
				i := slices.IndexFunc(locks, func(l packages.Lock) bool { return l.Image == ip.Name && l.Platform == pp.Platform.String() })
				if pp.Lock != nil && i >= 0 && pp.Lock.Digest != locks[i].Digest {
					found.Bases = append(found.Bases, BaseChange{ip.Name, pp.Platform, pp.Base, pp.Lock.Digest, locks[i].Digest})
				}
			}
		}
		return found, nil
	})
}

// unbuilt are the bases from Dockerfiles that are not built yet, and the references
// that they would have.
func (w *workspace) unbuilt(ctx context.Context) (map[string]string, error) {
	missing := map[string]string{}
	p := w.newPreparer()
	for _, d := range w.plan.Dockerfiles {
		made, there, err := p.find(ctx, d.Base)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", d.Base, err)
		}
		if !there {
			missing[d.Base] = made.ref
		}
	}
	return missing, nil
}
