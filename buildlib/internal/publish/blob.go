// Package publish writes OCI image layouts.
package publish

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// blob is what a child's manifest refers to.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
}

// blobsOf lists the blobs of an image, layers first. Layers that may not be
// distributed are left where they are (OCI image spec, "Non-Distributable
// Layers").
func blobsOf(img v1.Image) ([]blob, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return nil, err
	}
	var all []blob
	for _, l := range append(layers, config) {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		if !mt.IsDistributable() {
			continue
		}
		b := blob{open: l.Compressed}
		if b.digest, err = l.Digest(); err != nil {
			return nil, err
		}
		if b.size, err = l.Size(); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}
