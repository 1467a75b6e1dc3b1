package gocache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// packType is the media type of packs (OCI image spec, "Layer").
const packType = types.MediaType("application/vnd.oci.image.layer.v1.tar+zstd")

// maxConfig is how large an image's configuration may be, in bytes.
const maxConfig = 64 << 20

// Lost is the error of a pack that the registry was thought to have.
type Lost struct{ Digest v1.Hash }

func (l *Lost) Error() string {
	return fmt.Sprintf("the registry has lost pack %s", l.Digest)
}

// Image makes an image of the packs, for the platform that they were compiled for.
func (x Index) Image(p v1.Platform) (v1.Image, error) {
	text, err := x.encode()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var layers []mutate.Addendum
	for _, p := range x.Packs {
		layers = append(layers, mutate.Addendum{Layer: packLayer{p}, MediaType: packType})
	}
	if img, err = mutate.Append(img, layers...); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.History = nil
	config.Config.Labels = map[string]string{label: text}
	return mutate.ConfigFile(img, config)
}

// Read returns the index of an image that Image made.
func Read(img v1.Image) (Index, error) {
	m, err := img.Manifest()
	if err != nil {
		return Index{}, err
	}
	if m.Config.Size > maxConfig {
		return Index{}, errors.New("its configuration is too large")
	}
	config, err := img.ConfigFile()
	if err != nil {
		return Index{}, err
	}
	text, ok := config.Config.Labels[label]
	if !ok {
		return Index{}, errors.New("it is not an image of a Go build cache")
	}
	x, err := decode(text)
	if err != nil {
		return Index{}, err
	}
	for _, p := range x.Packs {
		if !slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool {
			return d.Digest == p.Digest && d.Size == p.Size && d.MediaType == packType
		}) {
			return Index{}, fmt.Errorf("pack %s is not one of its layers", p.Digest)
		}
	}
	return x, nil
}

// packLayer is a pack as a layer.
type packLayer struct{ Pack }

func (l packLayer) Digest() (v1.Hash, error)             { return l.Pack.Digest, nil }
func (l packLayer) DiffID() (v1.Hash, error)             { return l.Pack.DiffID, nil }
func (l packLayer) Size() (int64, error)                 { return l.Pack.Size, nil }
func (l packLayer) MediaType() (types.MediaType, error)  { return packType, nil }
func (l packLayer) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Compressed opens a pack that Update wrote. One that is only in the registry
// is asked for if it has gone there.
func (l packLayer) Compressed() (io.ReadCloser, error) {
	if l.path == "" {
		return nil, &Lost{l.Pack.Digest}
	}
	return os.Open(l.path)
}
