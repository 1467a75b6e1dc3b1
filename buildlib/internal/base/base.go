// Package base finds base images: from a reference to a registry or a layout it gets
// the manifest, config, layers and file tree for a platform. Everything it reads is
// verified by its digest and kept in the cache.
//
// Its files, each knowing those before it: source, what a reference names, and
// its blobs; image, the image for one platform; child, which picks it from an index;
// registry and layout, the origins; base, which puts everything together.
package base

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"golang.org/x/sync/errgroup"
)

// For returns the base's image for platform p. If there is none, the error says
// which platforms there are. It may be called for several platforms at once.
func (s *Source) For(ctx context.Context, p v1.Platform) (*Base, error) {
	b, err := s.base(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", s.ref, err)
	}
	return b, nil
}

func (s *Source) base(ctx context.Context, p v1.Platform) (*Base, error) {
	d, err := s.child(ctx, p)
	if err != nil {
		return nil, err
	}
	return s.built.Do(ctx, d.Digest.String(), func() (*Base, error) { return s.build(ctx, d) })
}

// Manifest returns the digest of the image that For returns for platform p.
func (s *Source) Manifest(ctx context.Context, p v1.Platform) (v1.Hash, error) {
	d, err := s.child(ctx, p)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("base %s: %w", s.ref, err)
	}
	return d.Digest, nil
}

// build makes the Base of the child d.
func (s *Source) build(ctx context.Context, d child) (*Base, error) {
	img, err := s.readImage(ctx, d)
	if err != nil {
		return nil, err
	}
	if p := img.platform(); p.OS != d.Platform.OS || p.Architecture != d.Platform.Architecture {
		s.bases.warn("base %s: its index calls an image %s whose own config says %q", s.ref, d.Platform, p)
	}
	b := &Base{Name: s.Name, Index: s.Digest, Digest: d.Digest, Image: img, Config: img.config, Platform: img.platform(), Tree: &filetree.Tree{}}
	b.Platform.OSVersion = cmp.Or(b.Platform.OSVersion, d.Platform.OSVersion)
	if !img.windows() {
		if b.Tree, err = s.tree(ctx, img); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// tree returns the Tree of the image: the one in the cache, or else one made from
// its layers.
func (s *Source) tree(ctx context.Context, i *baseImage) (*filetree.Tree, error) {
	digest, err := i.Digest()
	if err != nil {
		return nil, err
	}
	key := digest.String() + " " + filetree.Format
	var kept filetree.Record
	if s.bases.Cache.Load("tree", key, &kept) {
		if t, err := kept.Tree(); err == nil {
			return t, nil
		}
	}
	tree, err := s.scan(ctx, i)
	if at, ok := errors.AsType[*filetree.LayerError](err); ok && ctx.Err() == nil {
		layer := i.manifest.Layers[at.Layer]
		// The cache's copy may be corrupt. Then it is downloaded again.
		if gone := s.bases.Cache.Verify(layer.Digest); errors.Is(gone, fs.ErrNotExist) {
			tree, err = s.scan(ctx, i)
		} else {
			err = fmt.Errorf("layer %s: %w", layer.Digest, at.Err)
		}
	}
	if err != nil {
		return nil, err
	}
	s.bases.Cache.Save("tree", key, filetree.NewRecord(tree))
	return tree, nil
}

// scan makes the Tree of the image from its layers, which are fetched at the
// same time and scanned in their order.
func (s *Source) scan(ctx context.Context, i *baseImage) (*filetree.Tree, error) {
	layers := i.manifest.Layers
	fetched := make([]chan struct{}, len(layers))
	for n := range fetched {
		fetched[n] = make(chan struct{})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(downloads + 1) // and the scan
	var tree *filetree.Tree
	g.Go(func() (err error) {
		tree, err = filetree.Scan(ctx, i.config.RootFS.DiffIDs, func(n int) (io.ReadCloser, error) {
			select {
			case <-fetched[n]:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			return s.open(ctx, layers[n])
		})
		return err
	})
	for n, d := range layers {
		g.Go(func() error {
			if _, err := s.fetch(ctx, d); err != nil {
				return fmt.Errorf("layer %w", err)
			}
			close(fetched[n])
			return nil
		})
	}
	err := g.Wait()
	return tree, err
}

// Resolve finds what ref names now: a registry reference ("alpine:3.24",
// "ghcr.io/x/y@sha256:…"), or an OCI image layout, folder or tar
// ("oci:PATH", "oci:PATH:TAG", "oci:PATH@sha256:…"). The same reference
// resolves to the same Source for the life of b. at, if it isn't zero, is the digest
// to use instead of what a registry's reference names now. Errors begin with "base"
// and the reference.
func (b *Resolver) Resolve(ctx context.Context, ref string, at v1.Hash) (*Source, error) {
	return b.resolved.Do(ctx, ref+" "+at.Hex, func() (*Source, error) {
		s := &Source{ref: ref, at: at, bases: b}
		if err := s.resolve(ctx); err != nil {
			return nil, fmt.Errorf("base %s: %w", ref, err)
		}
		return s, nil
	})
}

func (s *Source) resolve(ctx context.Context) error {
	if err := s.bases.start(); err != nil {
		return err
	}
	var raw []byte
	var err error
	if p, ok := strings.CutPrefix(s.ref, "oci:"); ok {
		raw, err = s.resolveLayout(ctx, p)
	} else {
		raw, err = s.resolveRegistry(ctx)
	}
	if err != nil {
		return err
	}
	mediaType, err := manifestType(raw)
	if err != nil {
		return err
	}
	if mediaType.IsImage() {
		s.image = &v1.Descriptor{MediaType: mediaType, Digest: s.Digest, Size: int64(len(raw))}
		return nil
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return fmt.Errorf("not a valid index: %w", err)
	}
	s.index = index.Manifests
	return nil
}

// Name returns the Name of the Source that ref would resolve to.
func Name(ref string) (string, error) {
	if strings.HasPrefix(ref, "oci:") {
		return "", nil
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", fmt.Errorf("base %s: not an image reference: %w", ref, err)
	}
	return canonical(parsed), nil
}
