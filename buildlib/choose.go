package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// PackageChange is a package that Lock has changed in multimage.lock, or would.
type PackageChange struct {
	Image    string   `json:"image"`
	Platform Platform `json:"platform"`
	Name     string   `json:"name"`
	// Old and New are versions. Old is empty for a new package, New for one that is
	// gone.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// Lock chooses the packages of all images from the repositories of their bases,
// checks the signatures of these repositories' indexes, and writes the choice to
// multimage.lock in Plan.Dir. It returns what changed there. Entries of images and
// platforms that Overrides leave out stay. Only a plan made afterwards has the new
// choice.
func (b *Builder) Lock(ctx context.Context) ([]PackageChange, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return within(ctx, b, func(ctx context.Context, w *workspace) ([]PackageChange, error) {
		locks, changes, err := w.choose(ctx, nil)
		if err != nil {
			return nil, err
		}
		at := filepath.Join(b.plan.Dir, packages.LockFile)
		if len(locks) == 0 {
			if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return changes, nil
		}
		text := packages.FormatLocks(locks)
		if was, err := os.ReadFile(at); err == nil && string(was) == text {
			return changes, nil
		}
		return changes, disk.WriteBytes(at, w.scratch.Dir, 0o644, []byte(text))
	})
}

// choose chooses the packages of all images, except for those whose bases are in
// without, and compares them with the existing locks.
func (w *workspace) choose(ctx context.Context, without []string) ([]packages.Lock, []PackageChange, error) {
	old, err := readLocks(w.plan.Dir)
	if err != nil && !strings.Contains(err.Error(), packages.LockFile) {
		return nil, nil, err
	}
	var locks []packages.Lock
	var changes []PackageChange
	a := w.newAssembly(ctx, nil, rootfs.Ignore{})
	for _, ip := range w.plan.ImagePlans {
		for _, pp := range ip.Platforms {
			if slices.Contains(without, pp.Base) {
				continue
			}
			if len(pp.Packages) == 0 {
				if l := lockOf(old, ip.Name, pp.Platform); l != nil {
					changes = append(changes, changed(ip.Name, pp.Platform, l.Packages, nil)...)
				}
				continue
			}
			list, digest, err := a.choosePackages(ctx, pp)
			if err != nil {
				return nil, nil, fmt.Errorf("image %s: %s: %w", ip.Name, pp.Platform, err)
			}
			lock := packages.Lock{Image: ip.Name, Platform: pp.Platform.String(), Base: pp.Base, Digest: digest, Wanted: pp.Packages, Packages: list}
			locks = append(locks, lock)
			var was []LockedPackage
			if l := lockOf(old, ip.Name, pp.Platform); l != nil {
				was = l.Packages
			}
			changes = append(changes, changed(ip.Name, pp.Platform, was, lockOf(locks, ip.Name, pp.Platform).Packages)...)
		}
	}
	for _, l := range old {
		if w.leftOut(l) {
			locks = append(locks, l)
			continue
		}
		p, err := ParsePlatform(l.Platform)
		if err != nil {
			continue // written by hand
		}
		if ip, _ := w.plan.find(l.Image, p); ip == nil {
			if gone := lockOf(old, l.Image, p); gone != nil {
				changes = append(changes, changed(l.Image, p, gone.Packages, nil)...)
			}
		}
	}
	slices.SortFunc(locks, func(x, y packages.Lock) int {
		return strings.Compare(x.Image+" "+x.Platform, y.Image+" "+y.Platform)
	})
	return locks, changes, nil
}

// find returns an image of the plan and its part for a platform; nil if there is none.
func (p *Plan) find(image string, platform Platform) (*ImagePlan, *PlatformPlan) {
	for i := range p.ImagePlans {
		ip := &p.ImagePlans[i]
		for j := range ip.Platforms {
			if ip.Name == image && ip.Platforms[j].Platform == platform {
				return ip, &ip.Platforms[j]
			}
		}
	}
	return nil, nil
}

// leftOut reports whether Overrides leave the lock's image or platform out of the
// plan.
func (w *workspace) leftOut(l packages.Lock) bool {
	for _, ip := range w.plan.ImagePlans {
		if ip.Name == l.Image {
			return w.plan.Limits.Platforms && !slices.ContainsFunc(ip.Platforms, func(pp PlatformPlan) bool { return pp.Platform.String() == l.Platform })
		}
	}
	return w.plan.Limits.Images != nil || w.plan.Limits.Platforms
}

// changed compares two choices.
func changed(image string, p Platform, was, is []LockedPackage) []PackageChange {
	versions := map[string][2]string{}
	for _, l := range was {
		versions[l.Name] = [2]string{l.Version, ""}
	}
	for _, l := range is {
		versions[l.Name] = [2]string{versions[l.Name][0], l.Version}
	}
	var all []PackageChange
	for name, v := range versions {
		if v[0] != v[1] {
			all = append(all, PackageChange{image, p, name, v[0], v[1]})
		}
	}
	slices.SortFunc(all, func(x, y PackageChange) int { return strings.Compare(x.Name, y.Name) })
	return all
}
