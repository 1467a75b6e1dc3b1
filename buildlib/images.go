package buildlib

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// images resolves the Project's images, or makes one per binary.
func (r *resolver) images(binaries []binary) {
	declared := r.project.Images
	fields := func(i int) string { return fmt.Sprintf("Images[%d]", i) }
	if declared == nil {
		for _, b := range binaries {
			has := slices.ContainsFunc(declared, func(i Image) bool { return i.Name == b.Name })
			if has || !slices.ContainsFunc(b.platforms, isLinux) {
				continue
			}
			declared = append(declared, Image{Name: b.Name})
		}
		fields = func(i int) string { return "image " + declared[i].Name }
	}
	names := make([]string, len(declared))
	for i, img := range declared {
		names[i] = img.Name
	}
	if len(r.project.Images) > 0 { // else there is an image per name of a binary
		for _, twice := range duplicates(names) {
			r.mistake("Images", "two images are named %q, which names their layouts: give one another Name, and for variants in one repository the same Repository and other Tags: {Name: %q, Repository: %q, Binaries: ..., Tags: []string{\"{{.Version}}-alpine\"}}", twice, twice+"-alpine", twice)
		}
	}
	for i, name := range names {
		for _, other := range names {
			if strings.HasPrefix(name, other+"/") && other != "" {
				r.mistake(fields(i)+".Name", "%q lies in the folder of %s, and each would delete the other's layout: rename one of them (Repository sets its name in registries)", name, other)
			}
		}
	}
	for i, name := range r.overrides.Images {
		if !slices.Contains(names, name) && !(r.unsure && r.project.Images == nil) {
			r.mistake(fmt.Sprintf("Overrides.Images[%d]", i), "no image is named %q (the project has %s)", name, strings.Join(names, ", "))
		}
	}
	for i, img := range declared {
		if r.overrides.Images != nil && !slices.Contains(r.overrides.Images, img.Name) {
			continue
		}
		r.image(fields(i), img, binaries)
	}
	r.checkReferences()
	r.dockerfiles(declared)
	if r.overrides.Images != nil {
		r.onlyNeeded()
	}
}

func isLinux(p Platform) bool { return p.OS == "linux" }

// image resolves one image. Its configuration is checked even if there are mistakes in
// its binaries or platforms.
func (r *resolver) image(field string, declared Image, binaries []binary) {
	img := draft{Image: declared, field: field}
	named := repositoryName.MatchString(img.Name)
	if !named {
		r.mistake(field+".Name", "%q is %s", img.Name, noRepositoryName)
	}
	picked := r.pick(&img, binaries)
	if len(img.platforms) == 0 {
		unplaced := img
		r.configure(&unplaced, nil)
	}
	labels := r.labels(img)
	ip := ImagePlan{Name: img.Name, Annotations: r.indexAnnotations(labels), Build: r.buildOf(img)}
	ip.Tags, ip.EmptyTags = r.tagsOf(img)
	if named {
		ip.Repositories = r.repositories(img)
	}
	for _, p := range img.platforms {
		pp := r.onPlatform(img, p, labels)
		var empty []string
		pp.Tags, empty = r.platformTags(img, r.facts.forPlatform(p))
		ip.Platforms, ip.EmptyTags = append(ip.Platforms, pp), append(ip.EmptyTags, empty...)
	}
	r.checkTags(img.field, ip)
	switch {
	case !picked || !named: // the mistake is noted
	case len(img.platforms) == 0:
		r.plan.Skipped = append(r.plan.Skipped, "image "+img.Name)
	default:
		r.plan.ImagePlans = append(r.plan.ImagePlans, ip)
	}
}

// pick finds the image's binaries and platforms, and reports whether it found all.
func (r *resolver) pick(img *draft, binaries []binary) bool {
	before := len(r.mistakes)
	wanted, field := img.Binaries, img.field+".Binaries"
	if wanted == nil {
		wanted = []string{img.Name}
	}
	skipped, unknown := false, false
	for i, name := range wanted {
		named := slices.DeleteFunc(slices.Clone(binaries), func(b binary) bool { return b.Name != name })
		switch {
		case len(named) > 0:
			img.names, img.binaries = append(img.names, name), append(img.binaries, named...)
		case slices.ContainsFunc(r.skipped, func(b binary) bool { return b.Name == name }):
			skipped = true
		default:
			unknown = true
			if !r.mayHave(name) && (len(img.Binaries) > 0 || repositoryName.MatchString(name)) {
				r.mistake(fmt.Sprintf("%s[%d]", field, i), "no binary is named %q (the project has %s)%s", name, join(binaries), didYouMean(name, names(binaries)))
			}
		}
	}
	if skipped {
		return !unknown // and there is no platform
	}
	if img.Platforms == nil {
		for _, p := range r.defaults {
			if isLinux(p) && len(img.on(p)) >= len(img.names) {
				img.platforms = append(img.platforms, p)
			}
		}
		if len(img.platforms) == 0 && r.overrides.Platforms == nil && !unknown && !r.unsure {
			r.mistake(img.field, "no linux platform has all its binaries (%s): set its Platforms, or the binaries'", strings.Join(wanted, ", "))
		}
		return !unknown && len(r.mistakes) == before
	}
	field = img.field + ".Platforms"
	for i, p := range r.parsePlatforms(field, img.Platforms) {
		if !isLinux(p) && !isWindows(p) {
			r.mistake(fmt.Sprintf("%s[%d]", field, i), "%s: images are for linux and windows; binaries can be for %s", p, p.OS)
			continue
		}
		if r.overrides.Platforms != nil && !slices.Contains(r.defaults, p) {
			continue
		}
		has := names(img.on(p))
		for _, name := range img.names {
			if !slices.Contains(has, name) {
				r.mistake(fmt.Sprintf("%s[%d]", field, i), "binary %s is not built for %s (only %s): add it to the binary's or the Project's Platforms", name, p, join(img.platformsOf(name)))
			}
		}
		img.platforms = append(img.platforms, p)
	}
	return !unknown && len(r.mistakes) == before
}

// on returns the binaries for p, in the order of d.names.
func (d *draft) on(p Platform) []binary {
	var list []binary
	for _, name := range d.names {
		for _, b := range d.binaries {
			if b.Name == name && b.on(p) {
				list = append(list, b)
			}
		}
	}
	return list
}

// platformsOf returns the platforms of all binaries with a name.
func (d *draft) platformsOf(name string) []Platform {
	var all []Platform
	for _, b := range d.binaries {
		if b.Name == name {
			all = append(all, b.platforms...)
		}
	}
	return all
}

// buildOf is the Build of a RecordGo. It covers the binaries for all platforms, so that
// it is the same on each machine.
func (r *resolver) buildOf(img draft) string {
	var keys []string
	for _, name := range img.names {
		var of []string
		for _, b := range slices.Concat(img.binaries, r.skipped) {
			if b.Name == name {
				of = append(of, b.build.key())
			}
		}
		slices.Sort(of)
		keys = append(keys, slices.Compact(of)...)
	}
	return shortHash(fmt.Sprintf("%q", keys))
}

// mayHave reports whether the project may have a binary with the name that wasn't found
// because of another mistake, which is noted already.
func (r *resolver) mayHave(name string) bool {
	if r.project.Binaries == nil {
		return r.unsure
	}
	return slices.ContainsFunc(r.project.Binaries, func(b Binary) bool { return b.name() == name })
}

func names(binaries []binary) []string {
	var all []string
	for _, b := range binaries {
		all = append(all, b.Name)
	}
	return all
}

// onPlatform resolves an image for one platform.
func (r *resolver) onPlatform(img draft, p Platform, labels map[string]label) PlatformPlan {
	facts := r.facts.forPlatform(p)
	r.configure(&img, &facts)
	pp := PlatformPlan{
		Platform: p, User: img.User, CACerts: img.CACerts, TZData: img.TZData,
		Config: v1.Config{
			WorkingDir: img.WorkDir, Env: img.Env, ExposedPorts: exposed(img.Ports), Volumes: set(img.Volumes),
			StopSignal: img.StopSignal, Labels: map[string]string{},
		},
		Annotations: map[string]string{},
	}
	pp.Base = r.base(img, facts)
	r.packages(img, &pp)
	pp.Config.Healthcheck = r.healthcheck(img, pp.Base)
	pp.StartInterval = img.Healthcheck.StartInterval
	if pp.Base == scratch {
		pp.CACerts, pp.TZData = true, true
	}
	taken := map[string]string{}
	for _, b := range img.on(p) {
		at := r.renderPath(b.field+".Path", b.Path, &facts)
		if isWindows(p) {
			at = b.windowsPath(at, img.BinDir)
		} else {
			at = cmp.Or(at, path.Join(cmp.Or(img.BinDir, "/usr/local/bin"), b.Name))
		}
		if other, ok := taken[at]; ok {
			r.mistake(img.field+".Binaries", "%s and %s both go to %s: set the Path of one", other, b.Name, at)
		}
		taken[at] = b.Name
		pp.Binaries = append(pp.Binaries, PlacedBinary{b.Name, at, b.Mode, b.UID, b.GID, b.Capabilities})
	}
	pp.command(img.Image)
	pp.Smoke = img.Smoke
	if len(pp.Smoke) == 0 && img.Smoke != nil {
		pp.Smoke = []string{} // the same as after JSON
	}
	for i, f := range img.Files {
		if f.Source != "" {
			f.Source = r.source(fmt.Sprintf("%s.Files[%d].Source", img.field, i), f.Source, f.Path)
		}
		pp.Files = append(pp.Files, f)
	}
	if isWindows(p) {
		r.windows(img, &pp)
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value, ok := r.render(labels[key].field, labels[key].text, &facts)
		if !ok {
			continue
		}
		pp.Config.Labels[key] = value
		if strings.HasPrefix(key, ociKeys) {
			pp.Annotations[key] = value
		}
	}
	return pp
}

// command sets the image's entrypoint and arguments. If it sets an entrypoint, the base's
// arguments are dropped, as in a Dockerfile: they are for another program.
func (pp *PlatformPlan) command(img Image) {
	fromBase := img.BaseCommand || img.Entrypoint == nil && len(pp.Binaries) == 0
	// Appending to nil makes an empty list nil, as JSON does.
	pp.Config.Entrypoint, pp.BaseEntrypoint = append([]string(nil), img.Entrypoint...), fromBase && img.Entrypoint == nil
	pp.Config.Cmd, pp.BaseCmd = append([]string(nil), img.Cmd...), fromBase && img.Cmd == nil
	if img.Entrypoint == nil && !fromBase {
		pp.Config.Entrypoint = []string{pp.Platform.nativePath(pp.Binaries[0].Path)}
	}
}

// base renders and checks the image's base for one platform.
func (r *resolver) base(img draft, facts Facts) string {
	field := img.field + ".Base"
	base, ok := r.render(field, img.Base, &facts)
	if !ok || base == "" || base == scratch {
		return scratch
	}
	if at, ok := strings.CutPrefix(base, "oci:"); ok {
		if at == "" {
			r.mistake(field, "%q does not name a folder or tar: want oci:PATH", base)
		}
		return base
	}
	if at, ok := strings.CutPrefix(base, fromDockerfile); ok {
		if at == "" {
			r.mistake(field, "%q does not name a Dockerfile, or a folder with one: want dockerfile:PATH", base)
		}
		return base
	}
	if _, err := name.ParseReference(base); err != nil {
		r.mistake(field, "%q is not a valid base: want scratch, a reference like alpine:3.24, oci:PATH, or dockerfile:PATH: %w", base, err)
	}
	return base
}

// onlyNeeded drops the binaries that no image of a limited run needs.
func (r *resolver) onlyNeeded() {
	needed := map[item]bool{}
	for _, img := range r.plan.ImagePlans {
		for _, p := range img.Platforms {
			for _, b := range p.Binaries {
				needed[item{b.Binary, p.Platform}] = true
			}
		}
	}
	r.plan.Compiles = compilesFor(r.plan.Compiles, needed)
}
