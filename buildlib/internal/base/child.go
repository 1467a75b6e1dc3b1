package base

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

const (
	maxNesting  = 4      // of indexes in indexes
	maxChildren = 1000   // of an index, nested ones' included
	maxIndexes  = 100    // nested ones that are read
	maxListed   = 10_000 // entries of all indexes, of any kind
)

// child is the descriptor of an image in an index. It has a platform.
type child = v1.Descriptor

// child picks the image for platform p.
func (s *Source) child(ctx context.Context, p v1.Platform) (child, error) {
	var has contents
	if s.image != nil {
		own, err := s.platform(ctx, *s.image)
		if err != nil {
			return child{}, err
		}
		d := *s.image
		d.Platform = &own
		has.children = append(has.children, d)
	} else if err := s.children(ctx, s.index, 0, &has); err != nil {
		return child{}, err
	}
	d, ok := pick(has.children, p)
	if !ok {
		return child{}, fmt.Errorf("no %s (%s)", p, offer(has.children))
	}
	if p.OS == "windows" {
		return newest(d, has.children)
	}
	return d, nil
}

// newest returns the latest of the images for d's platform. Without a virtual machine,
// Windows runs only images of its own build: if there are several, the user must
// choose.
func newest(d child, all []child) (child, error) {
	build := func(c child) (of string, revision int) {
		i := strings.LastIndexByte(c.Platform.OSVersion, '.')
		if i < 0 {
			return c.Platform.OSVersion, 0
		}
		revision, _ = strconv.Atoi(c.Platform.OSVersion[i+1:]) // 0 if it isn't a number
		return c.Platform.OSVersion[:i], revision
	}
	builds, last := map[string]bool{}, -1
	for _, c := range all {
		if c.Platform.OS == d.Platform.OS && c.Platform.Architecture == d.Platform.Architecture {
			of, revision := build(c)
			if builds[of] = true; revision > last {
				d, last = c, revision
			}
		}
	}
	if len(builds) > 1 {
		return child{}, fmt.Errorf("it has images of several versions of Windows (%s), and each runs on its own version only: name the tag of one (they end in ltsc2022 and the like), or its digest", offer(all))
	}
	return d, nil
}

// contents is what was found in an index and in those nested in it.
type contents struct {
	children []child
	nested   map[v1.Hash]bool // the indexes that were read
	entries  int
}

func offer(children []child) string {
	if len(children) == 0 {
		return "has no image at all"
	}
	var has []string
	for _, c := range children {
		if p := wording.Clip(c.Platform.String()); !slices.Contains(has, p) {
			has = append(has, p)
		}
	}
	return "has " + wording.List(has, 40)
}

// children adds the images of an index to all, in its order.
func (s *Source) children(ctx context.Context, index []v1.Descriptor, depth int, all *contents) error {
	for _, d := range index {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if all.entries++; all.entries > maxListed {
			return fmt.Errorf("an index of more than %d entries", maxListed)
		}
		switch {
		case attestation(d):
			continue
		case d.MediaType.IsIndex():
			if depth == maxNesting {
				return fmt.Errorf("%s: indexes nested more than %d deep", d.Digest, maxNesting)
			}
			if err := s.nested(ctx, d, depth, all); err != nil {
				return err
			}
			continue
		case !d.MediaType.IsImage():
			continue
		}
		if d.Platform == nil || d.Platform.OS == "" || d.Platform.Architecture == "" {
			p, err := s.platform(ctx, d)
			if err != nil {
				return err
			}
			d.Platform = &p
		}
		if len(all.children) == maxChildren {
			return fmt.Errorf("an index of more than %d images", maxChildren)
		}
		all.children = append(all.children, d)
	}
	return nil
}

// nested adds the images of the nested index that d describes.
func (s *Source) nested(ctx context.Context, d v1.Descriptor, depth int, all *contents) error {
	if all.nested[d.Digest] {
		return nil
	}
	if len(all.nested) == maxIndexes {
		return fmt.Errorf("an index of more than %d indexes", maxIndexes)
	}
	if all.nested == nil {
		all.nested = map[v1.Hash]bool{}
	}
	all.nested[d.Digest] = true
	raw, err := s.read(ctx, d)
	if err != nil {
		return err
	}
	var index v1.IndexManifest
	if t, err := manifestType(raw); err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	} else if !t.IsIndex() {
		return fmt.Errorf("%s: an image manifest where an index should be", d.Digest)
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return fmt.Errorf("%s: not a valid index: %w", d.Digest, err)
	}
	return s.children(ctx, index.Manifests, depth+1, all)
}

// attestation reports whether d describes provenance or a bill of materials, which
// BuildKit puts into an index beside the images.
func attestation(d v1.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] != "" ||
		d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// platform returns the platform of the image that d describes: the descriptor's, or
// else the config's.
func (s *Source) platform(ctx context.Context, d v1.Descriptor) (v1.Platform, error) {
	if p := d.Platform; p != nil && p.OS != "" && p.Architecture != "" {
		return *p, nil
	}
	i, err := s.readImage(ctx, d)
	if err != nil {
		return v1.Platform{}, err
	}
	p := i.platform()
	if p.OS == "" || p.Architecture == "" {
		return v1.Platform{}, fmt.Errorf("%s: its config doesn't say what platform it is for", d.Digest)
	}
	return p, nil
}

// platform returns the config's platform (OCI image spec, config.md, "Properties").
func (i *baseImage) platform() v1.Platform {
	c := i.config
	return v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant, OSVersion: c.OSVersion, OSFeatures: c.OSFeatures}
}

// pick returns the child that runs best on a machine of platform p: it has the same
// system and architecture, and the highest variant that the machine can run. A child
// without a variant runs on all machines of its architecture.
func pick(children []child, p v1.Platform) (best child, ok bool) {
	normal := func(p v1.Platform) platforms.Platform {
		return platforms.Normalize(platforms.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
	}
	wanted := normal(p)
	order := platforms.Only(wanted)
	var first platforms.Platform // best's
	for _, c := range children {
		n := normal(*c.Platform)
		fits := n.OS == wanted.OS && n.Architecture == wanted.Architecture && (order.Match(n) || n.Variant == "")
		if fits && (!ok || order.Less(n, first)) {
			best, first, ok = c, n, true
		}
	}
	return best, ok
}
