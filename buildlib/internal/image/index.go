package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Child is an image of an index.
type Child struct {
	Platform v1.Platform
	Image    v1.Image
	// Descriptor describes an image that is elsewhere: its media type, size
	// and digest. It is used if Image is nil.
	Descriptor v1.Descriptor
}

// Index makes an index of images, in their order (OCI image spec, image-index.md).
// Each descriptor has a platform, and no artifactType, which is for what isn't an
// image. Annotations without a value are left out. It is an error if there are no
// images, or two for one platform.
func Index(children []Child, annotations map[string]string) (v1.ImageIndex, error) {
	if len(children) == 0 {
		return nil, errors.New("index: no images")
	}
	manifest := v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Annotations:   nonEmpty(annotations),
	}
	idx := &index{images: map[v1.Hash]v1.Image{}}
	seen := map[string]bool{}
	for _, c := range children {
		p := normalized(c.Platform)
		if seen[p.String()] {
			return nil, fmt.Errorf("index: two images for %s", p)
		}
		seen[p.String()] = true
		d, err := c.descriptor()
		if err != nil {
			return nil, fmt.Errorf("index: %s: %w", p, err)
		}
		d.Platform = &p
		manifest.Manifests = append(manifest.Manifests, d)
		if c.Image != nil {
			idx.images[d.Digest] = c.Image
		}
	}
	var err error
	if idx.manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	if idx.digest, _, err = v1.SHA256(bytes.NewReader(idx.manifest)); err != nil {
		return nil, err
	}
	return idx, nil
}

func (c *Child) descriptor() (v1.Descriptor, error) {
	d := &c.Descriptor
	if c.Image != nil {
		var err error
		if d, err = partial.Descriptor(c.Image); err != nil {
			return v1.Descriptor{}, err
		}
	}
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, nil
}

// index is an index of images. It implements v1.ImageIndex.
type index struct {
	manifest []byte
	digest   v1.Hash
	images   map[v1.Hash]v1.Image
}

func (i *index) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
func (i *index) Digest() (v1.Hash, error)            { return i.digest, nil }
func (i *index) Size() (int64, error)                { return int64(len(i.manifest)), nil }
func (i *index) RawManifest() ([]byte, error)        { return bytes.Clone(i.manifest), nil }
func (i *index) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.manifest))
}

// Image returns the image of that digest. One that has only a Descriptor is an error.
func (i *index) Image(h v1.Hash) (v1.Image, error) {
	if img, ok := i.images[h]; ok {
		return img, nil
	}
	return nil, fmt.Errorf("the index has no image %s", h)
}

// ImageIndex returns an error: an index here holds images only.
func (i *index) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return nil, fmt.Errorf("the index has no index %s", h)
}
