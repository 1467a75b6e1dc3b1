package buildlib

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// path is the path of the Dockerfile or its folder.
func (p *Plan) path(d DockerfilePlan) string {
	return absolute(p.Dir, filepath.FromSlash(strings.TrimPrefix(d.Base, fromDockerfile)))
}

// dockerfiles lists the bases that are built from Dockerfiles.
func (r *resolver) dockerfiles(declared []Image) {
	r.plan.Bases = r.repository("Bases", r.overrides.Bases, r.project.Bases, "ghcr.io/acme/bases")
	for i := range r.plan.ImagePlans {
		ip := &r.plan.ImagePlans[i]
		for _, pp := range ip.Platforms {
			if !strings.HasPrefix(pp.Base, fromDockerfile) {
				continue
			}
			r.wants(pp.Base, pp.Platform)
			if len(ip.Repositories) > 0 && cmp.Or(r.overrides.Bases, r.project.Bases) == "" {
				r.mistake("Bases", "it is empty, and image %s, which is published, has the base %s: name a repository that keeps built bases, like ghcr.io/acme/bases, or off to build them on every machine", ip.Name, pp.Base)
			}
		}
	}
	for _, img := range declared {
		if !strings.HasPrefix(img.Base, fromDockerfile) {
			continue
		}
		for _, p := range r.allPlatforms(img) {
			facts := r.facts.forPlatform(p)
			if base, ok := r.render("Images.Base", img.Base, &facts); ok {
				r.wants(base, p)
			}
		}
	}
	// Bases that only images outside of this run have are left out.
	r.plan.Dockerfiles = slices.DeleteFunc(r.plan.Dockerfiles, func(d DockerfilePlan) bool {
		return !slices.ContainsFunc(r.plan.ImagePlans, func(ip ImagePlan) bool {
			return slices.ContainsFunc(ip.Platforms, func(pp PlatformPlan) bool { return pp.Base == d.Base })
		})
	})
	for _, d := range r.plan.Dockerfiles {
		slices.SortFunc(d.Platforms, func(a, b Platform) int { return strings.Compare(a.String(), b.String()) })
		if _, err := dockerfile.Open(r.plan.path(d)); err != nil && d.Base != fromDockerfile {
			r.mistake("Images.Base", "%s: %w", d.Base, err)
		}
	}
}

// wants adds p to the platforms of a base.
func (r *resolver) wants(base string, p Platform) {
	i := slices.IndexFunc(r.plan.Dockerfiles, func(d DockerfilePlan) bool { return d.Base == base })
	if i < 0 {
		i = len(r.plan.Dockerfiles)
		r.plan.Dockerfiles = append(r.plan.Dockerfiles, DockerfilePlan{Base: base})
	}
	if d := &r.plan.Dockerfiles[i]; !slices.Contains(d.Platforms, p) {
		d.Platforms = append(d.Platforms, p)
	}
}

// allPlatforms are the platforms of an image without Overrides.
func (r *resolver) allPlatforms(img Image) []Platform {
	list := first(img.Platforms, r.project.Platforms, defaultPlatforms)
	names := img.Binaries
	if names == nil {
		names = []string{img.Name}
	}
	var all []Platform
	for _, s := range list {
		p, err := parsePlatform(s, r.ports)
		if err != nil || !isLinux(p) {
			continue // its mistake is noted
		}
		isFor := func(b Binary) bool {
			return b.Platforms == nil || slices.ContainsFunc(b.Platforms, func(s string) bool {
				other, err := parsePlatform(s, r.ports)
				return err == nil && other == p
			})
		}
		lacks := func(name string) bool {
			declared := slices.DeleteFunc(slices.Clone(r.project.Binaries), func(b Binary) bool { return b.name() != name })
			return len(declared) > 0 && !slices.ContainsFunc(declared, isFor)
		}
		if !slices.ContainsFunc(names, lacks) {
			all = append(all, p)
		}
	}
	return all
}
