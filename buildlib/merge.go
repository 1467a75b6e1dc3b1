package buildlib

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/base"
	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/image"
	"github.com/multimage/multimage/buildlib/internal/registry"
)

// Merge publishes what Push has pushed from several machines. From their records,
// wherever they are below dir, it makes the same indexes that Manifest makes on one
// machine, with the same digests, tags and images.json.
// It compiles nothing, and needs neither bases nor cache. dir is relative to
// the current folder.
//
// Every image of the plan must have one record for each of its platforms, pushed to
// all its repositories and made from the commit, version and time of this plan. All
// must have been made with one version of Go and on the same bases; this machine's
// Go doesn't matter. Otherwise nothing is published, and one error lists all that is
// wrong. A record of an image or platform that the plan doesn't have is an error,
// too, because an index with fewer platforms than were pushed would replace the
// complete one; only images that Overrides.Images leaves out are ignored.
//
// If a repository no longer has an image (registries may delete what has no tag),
// nothing is published to that repository. Failures and results are otherwise like
// Manifest's.
func (b *Builder) Merge(ctx context.Context, dir string) ([]ImageResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.plan.mergeable(); err != nil {
		return nil, err
	}
	signer, err := b.plan.signer()
	if err != nil {
		return nil, err
	}
	return within(ctx, b, func(ctx context.Context, w *workspace) ([]ImageResult, error) {
		// The output folder is locked: a run of ci:push here may be writing to dir.
		list, damaged, err := gather(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		m := merger{plan: w.plan, mistakes: damaged, parts: map[item][]found{}}
		all := m.merge(dir, list)
		dirty := w.plan.Dirty || slices.ContainsFunc(list, func(f found) bool { return f.Dirty })
		if len(m.mistakes) == 0 {
			m.mistakes = append(m.mistakes, w.plan.hasTags(dirty))
		}
		if err := errors.Join(m.mistakes...); err != nil {
			return nil, err
		}
		for _, text := range m.untested {
			w.tell(StepWarn, text)
		}
		if err := w.sign(all, signer); err != nil {
			return nil, err
		}
		if err := w.writeEvidence(all); err != nil {
			return nil, err
		}
		return w.publish(ctx, all, dirty, func(ctx context.Context, at name.Repository, b *built, _ func(registry.Event)) (registry.Published, error) {
			attached, err := attachments(b.statements[:min(1, len(b.statements))])
			if err != nil {
				return registry.Published{}, err
			}
			done, err := w.client.Join(ctx, at, b.index, b.Tags, registry.Hooks{Check: m.check, Pushed: w.keyless(at, b, signer), Attach: attached})
			if err == nil {
				err = w.tagPlatforms(ctx, at, b, &done, registry.Hooks{})
			}
			return done, explainMissing(b, done, err)
		})
	})
}

// explainMissing adds to the error of images that Push pushed and that are gone what
// to do about them.
func explainMissing(b *built, done registry.Published, err error) error {
	missing, ok := errors.AsType[*registry.Missing](err)
	if !ok {
		return err
	}
	var again []string
	for _, d := range missing.Images {
		at := slices.IndexFunc(b.Platforms, func(p PlatformResult) bool { return p.Digest == d.Digest })
		again = append(again, b.Platforms[at].Platform.String())
	}
	it := "it"
	if len(again) > 1 {
		it = "them"
	}
	why := fmt.Sprintf(", as no tag led to %s", it)
	if slices.ContainsFunc(done.Tags, func(t registry.TagState) bool { return t.Current }) {
		why = ", though a tag leads to the index"
	}
	return fmt.Errorf("%w: the registry may have collected %s since Builder.Push%s: run Builder.Push for %s again", err, it, why, strings.Join(again, ","))
}

// merger joins records into images, and collects all that is wrong with them.
type merger struct {
	plan     *Plan
	parts    map[item][]found
	mistakes []error
	untested []string // warnings of images whose Smoke wasn't run
}

func (m *merger) mistake(format string, args ...any) {
	m.mistakes = append(m.mistakes, fmt.Errorf(format, args...))
}

func (m *merger) merge(dir string, list []found) []built {
	for _, f := range list {
		m.assign(f)
	}
	var all []built
	for _, ip := range m.plan.ImagePlans {
		var parts []found
		for _, pp := range ip.Platforms {
			records := m.parts[item{ip.Name, pp.Platform}]
			switch len(records) {
			case 0:
				m.mistake("image %s: no record below %s: run Builder.Push with Overrides.Platforms=%s, and gather its dist/digests", item{ip.Name, pp.Platform}, dir, pp.Platform)
			case 1:
				parts = append(parts, records[0])
			default:
				m.mistake("image %s: %d records, %s: keep the one of the runner that is to count", item{ip.Name, pp.Platform}, len(records), paths(records))
			}
		}
		if len(parts) < len(ip.Platforms) || len(m.mistakes) > 0 {
			continue
		}
		b, err := m.plan.joinRecords(ip, parts)
		if err != nil {
			m.mistake("image %s: %w", ip.Name, err)
		}
		all = append(all, b)
	}
	m.agree()
	return all
}

func paths(records []found) string {
	list := make([]string, len(records))
	for i, f := range records {
		list[i] = f.path
	}
	return strings.Join(list, ", ")
}

// assign adds a record to the parts of its image and platform, and notes where it
// differs from the plan.
func (m *merger) assign(f found) {
	ip, pp := m.plan.find(f.Image, f.Platform)
	if pp == nil {
		switch {
		case m.plan.Limits.Images != nil && !slices.Contains(m.plan.Limits.Images, f.Image):
		case m.plan.Limits.Platforms:
			m.mistake("%s: image %q for %s is not among what Overrides.Platforms leaves: unset it, as Builder.Merge publishes all platforms, or remove the record", f.path, f.Image, f.Platform)
		default:
			m.mistake("%s: image %q for %s is not in the plan of this checkout: push and merge with one configuration, or remove the record", f.path, f.Image, f.Platform)
		}
		return
	}
	m.parts[f.subject()] = append(m.parts[f.subject()], f)
	differs := func(what, has, want string) {
		if has != want {
			m.mistake("%s: image %s: %s %q, but %q here: push and merge one commit as one version", f.path, f.subject(), what, has, want)
		}
	}
	differs("revision", f.Revision, m.plan.Revision)
	differs("version", f.Version, m.plan.Version)
	if f.Revision == m.plan.Revision && !f.Created.Equal(m.plan.Epoch) {
		m.mistake("%s: image %s: created %s, but %s here: set SOURCE_DATE_EPOCH to the same value everywhere, or nowhere", f.path, f.subject(), f.Created.Format(time.RFC3339), m.plan.Epoch.Format(time.RFC3339))
	}
	for _, repo := range ip.Repositories {
		if !slices.Contains(f.Repositories, repo) {
			m.mistake("%s: image %s: was not pushed to %s (but to %q): push and merge with the same registries", f.path, f.subject(), repo, f.Repositories)
		}
	}
	if err := f.checkSmoke(pp); err != nil {
		if m.plan.Smoke.Unrunnable == unrunnableFail {
			m.mistake("%s: image %s: %w, which Smoke.Unrunnable makes an error: run Builder.Push for %s where its programs run", f.path, f.subject(), err, f.Platform)
		}
		m.untested = append(m.untested, fmt.Sprintf("image %s: %v", f.subject(), err))
	}
	if want, err := m.baseName(pp.Base, f.Base); err != nil || (f.Base == nil) != (pp.Base == scratch) || f.Base != nil && f.Base.Name != want {
		has := scratch
		if f.Base != nil {
			has = cmp.Or(f.Base.Name, "an OCI layout")
		}
		m.mistake("%s: image %s: its base is %q, but %q here: push and merge with one configuration", f.path, f.subject(), has, pp.Base)
	}
}

// baseName is the name of a base in records. For a base from a Dockerfile it takes the
// key from the record, as Merge doesn't look for bases in registries.
func (m *merger) baseName(ref string, has *RecordBase) (string, error) {
	if ref == scratch || strings.HasPrefix(ref, fromDockerfile) && m.plan.Bases == "" {
		return "", nil
	}
	if strings.HasPrefix(ref, fromDockerfile) {
		ref = m.plan.Bases
		if has != nil {
			_, key, _ := strings.Cut(has.Name, m.plan.Bases+":")
			ref += ":" + key
		}
	}
	return base.Name(ref)
}

// check compares an image in a registry with its records, which the index relies on.
func (m *merger) check(d v1.Descriptor, manifest *v1.Manifest, config *v1.ConfigFile) error {
	size := d.Size + contentSize(manifest)
	for _, ip := range m.plan.ImagePlans {
		for _, pp := range ip.Platforms {
			for _, f := range m.parts[item{ip.Name, pp.Platform}] {
				if f.Digest != d.Digest {
					continue
				}
				if err := f.check(size, manifest, config, pp); err != nil {
					return fmt.Errorf("%w: run Builder.Push for %s again", err, f.Platform)
				}
			}
		}
	}
	return nil
}

// check compares an image, which takes size bytes, with its record.
func (f *found) check(size int64, manifest *v1.Manifest, config *v1.ConfigFile, pp PlatformPlan) error {
	switch platform := (v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant, OSVersion: config.OSVersion, OSFeatures: config.OSFeatures}); {
	case f.ConfigDigest != manifest.Config.Digest:
		return fmt.Errorf("its config is %s, but %s in %s", manifest.Config.Digest, f.ConfigDigest, f.path)
	case f.Size != size:
		return fmt.Errorf("it takes %d bytes, but %d in %s", size, f.Size, f.path)
	case !platform.Equals(*f.Descriptor.Platform):
		return fmt.Errorf("it is for %q, but %s says for %s", platform, f.path, f.Platform)
	}
	for _, key := range []string{"title", "version", "revision"} {
		key = ociKeys + key
		if has := config.Config.Labels[key]; has != pp.Config.Labels[key] {
			return fmt.Errorf("its label %s is %q, but has to be %q for the image in %s", key, has, pp.Config.Labels[key], f.path)
		}
	}
	return nil
}

// joinRecords makes an image's index from its records, in plan order, as join does
// from images.
func (p *Plan) joinRecords(ip ImagePlan, parts []found) (built, error) {
	b := built{plan: ip}
	children := make([]image.Child, len(parts))
	for i, f := range parts {
		for _, other := range parts[:i] {
			if other.Digest == f.Digest {
				return b, fmt.Errorf("%s and %s have the same digest, %s, in %s and %s", other.Platform, f.Platform, f.Digest, other.path, f.path)
			}
		}
		children[i] = image.Child{Platform: *f.Descriptor.Platform, Descriptor: f.Descriptor}
		contents, err := p.recordedContents(f)
		if err != nil {
			return b, err
		}
		b.bases, b.contents = append(b.bases, f.Base), append(b.contents, contents)
		b.Platforms = append(b.Platforms, PlatformResult{Platform: f.Platform, Digest: f.Digest, Size: f.Size, Tags: ip.Platforms[i].Tags})
	}
	err := p.finish(&b, children)
	return b, err
}

// agree notes what differs between the machines. With it, the index would not be the
// one that a single machine makes.
func (m *merger) agree() {
	var refs []string
	bases := map[string]*variants{} // by reference
	var versions, settings variants
	for _, ip := range m.plan.ImagePlans {
		var builds variants
		for _, pp := range ip.Platforms {
			for _, f := range m.parts[item{ip.Name, pp.Platform}] {
				versions.add(f.Go.Version, f.path)
				settings.add(f.Go.Settings, f.path)
				builds.add(f.Go.Build, f.path)
				if f.Base == nil {
					continue
				}
				if bases[pp.Base] == nil {
					refs, bases[pp.Base] = append(refs, pp.Base), &variants{}
				}
				bases[pp.Base].add(f.Base.Index.String(), f.path)
			}
		}
		if builds.differ() {
			m.mistake("image %s: how its binaries are built (Go of the Project or Binary) is not the same for all platforms, but %s: push all of them with one configuration", ip.Name, builds)
		}
	}
	for _, ref := range refs {
		if bases[ref].differ() {
			m.mistake("base %s is not the same for all platforms, but %s: name it by its digest, and run Builder.Push for all platforms again", ref, bases[ref])
		}
	}
	if versions.differ() {
		m.mistake("go is not the same version everywhere, but %s: install the same on all runners, or name it in go.mod's toolchain line, and run Builder.Push again where it is another", versions)
	}
	if settings.differ() {
		m.mistake("GOFLAGS, GOEXPERIMENT and GOFIPS140 were not the same on all runners, but %s: set them to the same values (go env prints them), and run Builder.Push again where they differ", settings)
	}
}

// variants are the values that records have for something that should be the same in
// all of them, in the order found.
type variants []variant

func (v *variants) add(value, file string) {
	i := slices.IndexFunc(*v, func(o variant) bool { return o.value == value })
	if i < 0 {
		i, *v = len(*v), append(*v, variant{value: value})
	}
	(*v)[i].files = append((*v)[i].files, file)
}

func (v variants) differ() bool { return len(v) > 1 }

// String lists each value with the files that have it.
func (v variants) String() string {
	list := make([]string, len(v))
	for i, o := range v {
		list[i] = fmt.Sprintf("%s in %s", o.value, strings.Join(o.files, ", "))
	}
	return strings.Join(list, "; ")
}

type variant struct {
	value string
	files []string
}

// recordedContents are the contents of a record's image.
func (p *Plan) recordedContents(f found) (c evidence.Contents, err error) {
	if len(p.Evidence) == 0 {
		return evidence.Contents{Platform: f.Platform.String(), Digest: f.Digest}, nil
	}
	if len(f.Contents) == 0 {
		return c, fmt.Errorf("%s: image %s: it has no contents for evidence, which is made here: push and merge with the same Evidence (Overrides.Evidence)", f.path, item{f.Image, f.Platform})
	}
	if err := json.Unmarshal(f.Contents, &c); err != nil {
		return c, fmt.Errorf("%s: image %s: contents: %w", f.path, item{f.Image, f.Platform}, err)
	}
	if c.Platform != f.Platform.String() || c.Digest != f.Digest {
		return c, fmt.Errorf("%s: image %s: its contents describe %s for %s: run Builder.Push for %s again", f.path, item{f.Image, f.Platform}, c.Digest, c.Platform, f.Platform)
	}
	return c, nil
}
