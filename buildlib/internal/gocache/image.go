package gocache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// packType is the media type of packs (OCI image spec, "Layer").
const packType = types.MediaType("application/vnd.oci.image.layer.v1.tar+zstd")

// maxConfig is how large an image's configuration may be, in bytes.
const maxConfig = 64 << 20

// Lost is the error of a pack that the registry should have had.
type Lost struct{ Digest v1.Hash }

func (l *Lost) Error() string { return fmt.Sprintf("the registry has lost pack %s", l.Digest) }

// signatureKey is the manifest's annotation with the signature.
const signatureKey = "multimage.gocache.signature"

// Image makes the manifest and the configuration of an image of the packs, for
// the platform that they were compiled for. sign signs the configuration, which has
// the hashes of all outputs; nil: there is no signature.
func (x Index) Image(p v1.Platform, sign func(config v1.Hash) (string, error)) (manifest, config []byte, err error) {
	text, err := x.encode()
	if err != nil {
		return nil, nil, err
	}
	file := v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}}
	file.Config.Labels = map[string]string{label: text}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	for _, p := range x.Packs {
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, p.DiffID)
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: packType, Digest: p.Digest, Size: p.Size})
	}
	if config, err = json.Marshal(file); err != nil {
		return nil, nil, err
	}
	m.Config = v1.Descriptor{MediaType: types.OCIConfigJSON}
	if m.Config.Digest, m.Config.Size, err = v1.SHA256(bytes.NewReader(config)); err != nil {
		return nil, nil, err
	}
	if sign != nil {
		signature, err := sign(m.Config.Digest)
		if err != nil {
			return nil, nil, err
		}
		m.Annotations = map[string]string{signatureKey: signature}
	}
	manifest, err = json.Marshal(m)
	return manifest, config, err
}

// Config returns the descriptor of the configuration, which Read needs, and its
// signature, or nothing.
func Config(manifest []byte) (d v1.Descriptor, signature string, err error) {
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return d, "", err
	}
	if m.Config.Size > maxConfig {
		return d, "", errors.New("its configuration is too large")
	}
	return m.Config, m.Annotations[signatureKey], nil
}

// Read returns the index of an image that Image made.
func Read(manifest, config []byte) (Index, error) {
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return Index{}, err
	}
	file, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return Index{}, err
	}
	text, ok := file.Config.Labels[label]
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

// Without returns the index without the packs for which drop is true.
func (x Index) Without(drop func(v1.Hash) bool) Index {
	return Index{slices.DeleteFunc(slices.Clone(x.Packs), func(p Pack) bool { return drop(p.Digest) })}
}

// Open opens a pack that Update wrote. Of other packs, only those that have gone
// from the registry are opened, and the error is a *Lost.
func (p Pack) Open() (io.ReadCloser, error) {
	if p.path == "" {
		return nil, &Lost{p.Digest}
	}
	return os.Open(p.path)
}
