package buildlib

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/base"
	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/image"
	"github.com/multimage/multimage/buildlib/internal/rootfs"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// assembly makes a plan's images while their binaries are compiled.
type assembly struct {
	*preparer
	layers   *rootfs.Builder
	zoneinfo string
	ignore   rootfs.Ignore
	modes    func() (map[string]bool, error) // as git.Executables
	compiled *compilation
	slots    chan struct{} // of images being assembled: each takes memory
	unpacked store.Flights // packages that are being unpacked
	closers  sync.Map      // their *packages.Contents
	reported sync.Map      // bases (reference and platform) and warnings, which are reported once
}

func (w *workspace) newAssembly(ctx context.Context, c *compilation, ignore rootfs.Ignore) *assembly {
	return &assembly{
		layers:   &rootfs.Builder{Cache: w.store, Compression: w.plan.Compression},
		preparer: w.newPreparer(),
		zoneinfo: filepath.Join(w.plan.Go.Root, "lib", "time", "zoneinfo.zip"),
		compiled: c,
		slots:    make(chan struct{}, max(4, runtime.GOMAXPROCS(0))),
		ignore:   ignore,
		modes:    sync.OnceValues(func() (map[string]bool, error) { return git.Executables(ctx, w.plan.Dir) }),
	}
}

// assemble makes every image of the plan in g. After g.Wait, the function that it
// returns joins them into indexes.
func (a *assembly) assemble(ctx context.Context, g *errgroup.Group) func() ([]built, error) {
	plans := a.w.plan.ImagePlans
	parts := make([][]part, len(plans))
	for i, ip := range plans {
		parts[i] = make([]part, len(ip.Platforms))
		for j, pp := range ip.Platforms {
			g.Go(func() (err error) {
				if parts[i][j], err = a.part(ctx, ip, pp); err != nil {
					return fmt.Errorf("image %s: %s: %w", ip.Name, pp.Platform, err)
				}
				return nil
			})
		}
	}
	return func() ([]built, error) {
		all := make([]built, len(plans))
		for i, ip := range plans {
			var err error
			if all[i], err = a.w.plan.join(ip, parts[i]); err != nil {
				return nil, fmt.Errorf("image %s: %w", ip.Name, err)
			}
		}
		return all, nil
	}
}

// part is an image's share for one platform.
type part struct {
	image.Child
	base     *RecordBase
	contents evidence.Contents
	elapsed  time.Duration
}

// part resolves the base while go compiles, then assembles.
func (a *assembly) part(ctx context.Context, ip ImagePlan, pp PlatformPlan) (_ part, err error) {
	p := pp.Platform.spec()
	from, err := a.base(ctx, pp.Base, p)
	if err != nil {
		return part{}, err
	}
	if isWindows(pp.Platform) {
		p.OSVersion, p.OSFeatures = from.Platform.OSVersion, from.Platform.OSFeatures
	}
	a.warn(ip, pp, from)
	if _, err := a.compiled.binaries(ctx, pp); err != nil {
		return part{}, err
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return part{}, context.Cause(ctx)
	}
	step := a.w.begin(StepImage, ip.Name, pp.Platform.String())
	defer func() { step.Failed(err) }()
	spec, err := a.rootfs(pp, from)
	if err != nil {
		return part{}, err
	}
	if spec.Packages, err = a.packages(ctx, pp, from); err != nil {
		return part{}, err
	}
	made, executables, err := a.buildLayers(ctx, pp, spec)
	if err == nil {
		err = a.w.checkNeeds(made.Tree, ip, pp, executables)
	}
	if err != nil {
		return part{}, err
	}
	img, err := image.New(a.image(pp, p, from, made))
	if err != nil {
		return part{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return part{}, err
	}
	var programs []evidence.Executable
	for _, b := range pp.Binaries {
		programs = append(programs, evidence.Executable{Path: b.Path, Source: executables[b.Binary].Path, Digest: executables[b.Binary].Digest})
	}
	contents, err := a.w.contents(ctx, pp, img, recordBase(from), programs)
	if err != nil {
		return part{}, err
	}
	return part{image.Child{Platform: p, Image: img}, recordBase(from), contents, step.Done(digest.String())}, nil
}

// warn warns once of a base's ONBUILD triggers, and of a base without a user.
func (a *assembly) warn(ip ImagePlan, pp PlatformPlan, from *base.Base) {
	if from == nil {
		return
	}
	config := from.Config.Config
	triggers := strings.Join(config.OnBuild, "; ")
	if limit := 300; len(triggers) > limit {
		triggers = strings.ToValidUTF8(triggers[:limit], "") + "..."
	}
	for _, w := range []struct {
		when bool
		text string
	}{
		{len(config.OnBuild) > 0, fmt.Sprintf("base %s: its ONBUILD triggers are not run, only docker build does that: %s", pp.Base, triggers)},
		{config.User == "" && pp.User == User{} && !isWindows(pp.Platform), fmt.Sprintf("image %s runs as root, because its base %s names no user: set User (Name: \"root\" if that is meant)", ip.Name, pp.Base)},
	} {
		if !w.when {
			continue
		}
		if _, reported := a.reported.LoadOrStore(w.text, nil); !reported {
			a.w.tell(StepWarn, w.text)
		}
	}
}

// buildLayers makes the layers. Executables that were damaged since go built them are built
// again.
func (a *assembly) buildLayers(ctx context.Context, pp PlatformPlan, spec rootfs.Spec) (*rootfs.Rootfs, map[string]gotool.Executable, error) {
	for repairs := 0; ; repairs++ {
		executables, err := a.compiled.binaries(ctx, pp)
		if err != nil {
			return nil, nil, err
		}
		if err := placeBinaries(&spec, pp, executables); err != nil {
			return nil, nil, err
		}
		made, err := a.layers.Build(ctx, spec)
		damaged, ok := errors.AsType[*rootfs.Changed](err)
		if !ok || repairs == len(pp.Binaries) {
			return made, executables, err
		}
		ours, err := a.w.repair(ctx, a.compiled, damaged.Source)
		if err != nil {
			return nil, nil, err
		}
		if !ours {
			return nil, nil, damaged
		}
	}
}

// placeBinaries puts the executables into the image.
func placeBinaries(spec *rootfs.Spec, pp PlatformPlan, executables map[string]gotool.Executable) error {
	spec.Binaries = nil
	for _, b := range pp.Binaries {
		e := executables[b.Binary]
		attrs, err := xattrs(b.Capabilities)
		if err != nil {
			return fmt.Errorf("binary %s: %w", b.Binary, err)
		}
		spec.Binaries = append(spec.Binaries, rootfs.Executable{
			Path: b.Path, Mode: b.Mode, UID: b.UID, GID: b.GID, Xattrs: attrs,
			Source: e.Path, Digest: e.Digest, Size: e.Size, Identity: e.Identity,
		})
	}
	return nil
}

// base resolves a base, and reports the step once for all images on it.
func (a *assembly) base(ctx context.Context, ref string, p v1.Platform) (found *base.Base, err error) {
	if ref == scratch {
		return nil, nil
	}
	at, pinned := a.w.pins[Platform{p.OS, p.Architecture, p.Variant}]
	if pinned {
		ref = at.ref
	} else if strings.HasPrefix(ref, fromDockerfile) {
		if ref, err = a.reference(ctx, ref); err != nil {
			return nil, err
		}
	}
	step := &Running{}
	if _, reported := a.reported.LoadOrStore([2]string{ref, p.String()}, nil); !reported {
		step = a.w.begin(StepBase, ref, p.String())
	}
	defer func() { step.Failed(err) }()
	source, err := a.bases.Resolve(ctx, ref, at.digest)
	if err != nil {
		return nil, err
	}
	found, err = source.For(ctx, p)
	if err != nil {
		return nil, err
	}
	step.Done(found.Digest.String())
	return found, nil
}

// rootfs describes the layers of a PlatformPlan, without packages and binaries.
func (a *assembly) rootfs(pp PlatformPlan, from *base.Base) (rootfs.Spec, error) {
	spec := rootfs.Spec{
		User: rootfs.User(pp.User), WorkDir: pp.Config.WorkingDir, Volumes: slices.Sorted(maps.Keys(pp.Config.Volumes)),
		CACerts: pp.CACerts, TZData: pp.TZData, ZoneInfo: a.zoneinfo, Windows: isWindows(pp.Platform),
	}
	if spec.Windows {
		facts := Facts{}.forPlatform(pp.Platform)
		spec.WorkDir = facts.slashed(spec.WorkDir)
		for i, v := range spec.Volumes {
			spec.Volumes[i] = facts.slashed(v)
		}
	}
	if from != nil {
		spec.Base, spec.BaseUser = from.Tree, from.Config.Config.User
	}
	for _, f := range pp.Files {
		file := rootfs.File{Path: f.Path, Mode: f.Mode, UID: f.UID, GID: f.GID, Root: a.w.plan.Dir, Ignore: a.ignore}
		var err error
		if file.Xattrs, err = xattrs(f.Capabilities); err != nil {
			return spec, fmt.Errorf("file %s: %w", f.Path, err)
		}
		if f.Source != "" {
			file.Source = filepath.Join(a.w.plan.Dir, filepath.FromSlash(f.Source))
		}
		if f.Source != "" && f.Mode == 0 {
			if file.Executables, err = a.modes(); err != nil {
				return spec, fmt.Errorf("file %s: its mode: %w", f.Path, err)
			}
		}
		spec.Files = append(spec.Files, file)
	}
	return spec, nil
}

// image describes an image, once it has its layers.
func (a *assembly) image(pp PlatformPlan, p v1.Platform, from *base.Base, made *rootfs.Rootfs) image.Spec {
	spec := image.Spec{
		Platform: p, Config: pp.Config, BaseEntrypoint: pp.BaseEntrypoint, BaseCmd: pp.BaseCmd,
		StartInterval: pp.StartInterval, Annotations: pp.Annotations, Created: a.w.plan.Epoch,
	}
	spec.Config.User = made.User
	for _, l := range made.Layers {
		spec.Layers = append(spec.Layers, image.Layer(l))
	}
	if from != nil {
		spec.Base = from.Image
		spec.Config.Labels = withBase(from.Name, from.Digest, spec.Config.Labels)
		spec.Annotations = withBase(from.Name, from.Digest, spec.Annotations)
	}
	return spec
}

// join makes an image's index from its parts.
func (p *Plan) join(ip ImagePlan, parts []part) (built, error) {
	b := built{plan: ip}
	children := make([]image.Child, len(parts))
	for i, part := range parts {
		children[i] = part.Child
		b.images, b.bases = append(b.images, part.Image), append(b.bases, part.base)
		b.contents = append(b.contents, part.contents)
		digest, err := part.Image.Digest()
		if err != nil {
			return b, err
		}
		size, err := pullSize(part.Image)
		if err != nil {
			return b, err
		}
		pp := ip.Platforms[i]
		b.Platforms = append(b.Platforms, PlatformResult{pp.Platform, digest, size, pp.Tags, part.elapsed})
	}
	b.Layout = p.layout(ip.Name)
	err := p.finish(&b, children)
	return b, err
}

// finish makes the index of b, and its evidence.
func (p *Plan) finish(b *built, children []image.Child) (err error) {
	annotations := b.plan.Annotations
	if one := sharedBase(b.bases); one != nil {
		annotations = withBase(one.Name, one.Index, annotations)
	}
	if b.index, err = image.Index(children, annotations); err != nil {
		return err
	}
	b.Name, b.Version, b.Revision = b.plan.Name, p.Version, p.Revision
	b.Tags, b.Refs = append([]string{}, b.plan.Tags...), []Ref{}
	if b.Digest, err = b.index.Digest(); err != nil {
		return err
	}
	b.statements, err = p.statements(b)
	return err
}

// pullSize is how many bytes a pull of the whole image fetches.
func pullSize(img v1.Image) (int64, error) {
	m, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size, err := img.Size()
	if err != nil {
		return 0, err
	}
	return size + contentSize(m), nil
}

// contentSize is the size of a manifest's config and layers, in bytes.
func contentSize(m *v1.Manifest) int64 {
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size
}

// withBase adds the keys that name the base to labels or annotations, which win over
// them. A base from an image layout has no name.
func withBase(name string, digest v1.Hash, own map[string]string) map[string]string {
	all := map[string]string{ociKeys + "base.digest": digest.String()}
	if name != "" {
		all[ociKeys+"base.name"] = name
	}
	maps.Copy(all, own)
	return all
}

// sharedBase is the base that all platforms' images share, or nil.
func sharedBase(bases []*RecordBase) *RecordBase {
	first := bases[0]
	for _, b := range bases {
		if b == nil || b.Name != first.Name || b.Index != first.Index {
			return nil
		}
	}
	return first
}
