package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/layout"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// layoutOrigin is the origin of a base in an OCI image layout. Its blobs are copied
// to the cache when they are needed, and verified, as those of a registry.
type layoutOrigin struct{ *layout.Reader }

func (layoutOrigin) reference() name.Reference { return nil }

func (o layoutOrigin) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return o.Blob(ctx, d.Digest)
}

// resolveLayout finds the manifest or index that the layout ref names and
// returns its bytes.
func (s *Source) resolveLayout(ctx context.Context, ref string) ([]byte, error) {
	p, tag, digest, err := s.bases.splitLayout(ref)
	if err != nil {
		return nil, err
	}
	l, err := layout.Open(ctx, s.bases.Cache, p)
	if err != nil {
		return nil, err
	}
	s.from = layoutOrigin{l}
	raw, err := l.Index()
	if err != nil {
		return nil, err
	}
	if t, err := manifestType(raw); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	} else if !t.IsIndex() {
		return nil, errors.New("index.json: not an index")
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	d, err := s.choose(ctx, index.Manifests, tag, digest)
	if err != nil {
		return nil, err
	}
	if d != nil {
		s.Digest = d.Digest
		return s.read(ctx, *d)
	}
	// index.json is itself the index of one image for several platforms.
	s.Digest, _, err = s.bases.Cache.Put(v1.Hash{}, bytes.NewReader(raw))
	return raw, err
}

// splitLayout takes PATH, PATH:TAG or PATH@sha256:HEX apart. A colon may be
// part of the path: what exists decides.
func (b *Resolver) splitLayout(ref string) (p, tag string, digest v1.Hash, err error) {
	if i := strings.LastIndex(ref, "@"); i > 0 && strings.Contains(ref[i:], ":") {
		digest, err = v1.NewHash(ref[i+1:])
		if err != nil {
			return "", "", digest, fmt.Errorf("%q is not a digest: %w", ref[i+1:], err)
		}
		ref = ref[:i]
	}
	if ref == "" {
		return "", "", digest, errors.New("no path: write oci:PATH")
	}
	abs := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(b.Dir, p)
	}
	if _, err = os.Stat(abs(ref)); err == nil {
		return abs(ref), "", digest, nil
	}
	if i := strings.LastIndex(ref, ":"); i > 0 && digest == (v1.Hash{}) {
		if _, cut := os.Stat(abs(ref[:i])); cut == nil {
			return abs(ref[:i]), ref[i+1:], digest, nil
		}
	}
	return "", "", digest, fmt.Errorf("no such image layout: %w", err)
}

// choose picks from a layout's index.json what tag or digest names, or else the only
// image. It returns nil if the manifests are those of one image, one for each
// platform.
func (s *Source) choose(ctx context.Context, all []v1.Descriptor, tag string, digest v1.Hash) (*v1.Descriptor, error) {
	var found []v1.Descriptor
	var tags []string
	for _, d := range all {
		if attestation(d) {
			continue
		}
		if t := d.Annotations[layout.RefName]; t != "" {
			tags = append(tags, wording.Clip(t))
		} else {
			tags = append(tags, d.Digest.String())
		}
		if tag != "" && d.Annotations[layout.RefName] != tag || digest != (v1.Hash{}) && d.Digest != digest {
			continue
		}
		// One image may have several tags.
		if !slices.ContainsFunc(found, func(f v1.Descriptor) bool { return f.Digest == d.Digest }) {
			found = append(found, d)
		}
	}
	has := "it is empty"
	if len(tags) > 0 {
		slices.Sort(tags)
		has = "it has " + wording.List(slices.Compact(tags), 40)
	}
	switch {
	case len(found) == 1:
		return &found[0], nil
	case len(found) == 0 && tag != "":
		return nil, fmt.Errorf("the layout has no %q: %s", tag, has)
	case len(found) == 0 && digest != (v1.Hash{}):
		return nil, fmt.Errorf("the layout has no %s: %s", digest, has)
	case len(found) == 0:
		return nil, errors.New("the layout has no image")
	case tag == "" && s.onePerPlatform(ctx, found):
		return nil, nil
	}
	return nil, fmt.Errorf("the layout has several images, choose one with oci:PATH:TAG or oci:PATH@DIGEST: %s", has)
}

// onePerPlatform reports whether the manifests are images for platforms that
// are all different.
func (s *Source) onePerPlatform(ctx context.Context, manifests []v1.Descriptor) bool {
	seen := map[string]bool{}
	for _, d := range manifests {
		if !d.MediaType.IsImage() {
			return false
		}
		p, err := s.platform(ctx, d)
		if err != nil || seen[p.String()] {
			return false
		}
		seen[p.String()] = true
	}
	return true
}
