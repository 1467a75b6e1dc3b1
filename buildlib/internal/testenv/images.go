package testenv

import (
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image returns an OCI image for linux on arch with the layers.
func Image(t testing.TB, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	base, err := mutate.ConfigFile(base, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
	must(t, err)
	img, err := mutate.AppendLayers(base, layers...)
	must(t, err)
	return img
}

// RandomLayer returns a layer with one file of that many random bytes.
func RandomLayer(t testing.TB, size int64) v1.Layer {
	t.Helper()
	l, err := random.Layer(size, types.OCILayer)
	must(t, err)
	return l
}

// Broken returns a layer that is l until its content breaks off, with err,
// after 100 bytes.
func Broken(l v1.Layer, err error) v1.Layer { return &broken{l, err} }

type broken struct {
	v1.Layer
	err error
}

func (b *broken) Compressed() (io.ReadCloser, error) {
	rc, err := b.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(rc, 100), errReader{b.err}), rc}, nil
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Index returns an index of up to three images, for linux/amd64, linux/arm64
// and linux/riscv64.
func Index(images ...v1.Image) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, img := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: []string{"amd64", "arm64", "riscv64"}[i]},
		}})
	}
	return idx
}

// TwoPlatforms returns an index of two images that share one of their two
// layers: five blobs, two children.
func TwoPlatforms(t testing.TB) v1.ImageIndex {
	t.Helper()
	shared := RandomLayer(t, 3000)
	return Index(Image(t, "amd64", shared, RandomLayer(t, 70_000)), Image(t, "arm64", shared, RandomLayer(t, 1000)))
}

// Digest returns the digest of an index.
func Digest(t testing.TB, idx v1.ImageIndex) v1.Hash {
	t.Helper()
	h, err := idx.Digest()
	must(t, err)
	return h
}
