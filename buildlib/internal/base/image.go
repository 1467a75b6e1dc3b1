package base

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// maxLayers bounds a base's layers; engines take some 127.
const maxLayers = 1000

// baseImage is the v1.Image of a base: its manifest and config as they were
// published, its layers in the cache or to be fetched.
type baseImage struct {
	source    *Source
	raw       []byte
	mediaType types.MediaType
	manifest  *v1.Manifest
	rawConfig []byte
	config    *v1.ConfigFile
}

// readImage reads and checks the manifest and config of the image that d describes.
func (s *Source) readImage(ctx context.Context, d v1.Descriptor) (*baseImage, error) {
	raw, err := s.read(ctx, d)
	if err != nil {
		return nil, err
	}
	i := &baseImage{source: s, raw: raw}
	if i.mediaType, err = manifestType(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, err)
	}
	if !i.mediaType.IsImage() {
		return nil, fmt.Errorf("%s: an index where an image manifest should be", d.Digest)
	}
	i.manifest = &v1.Manifest{}
	if err := json.Unmarshal(raw, i.manifest); err != nil {
		return nil, fmt.Errorf("%s: not a valid image manifest: %w", d.Digest, err)
	}
	// Registries of 2016 called a config an octet stream.
	if t := i.manifest.Config.MediaType; !t.IsConfig() && t != "application/octet-stream" {
		return nil, fmt.Errorf("%s: not a container image but an artifact of type %q", d.Digest, wording.Clip(string(t)))
	}
	if i.rawConfig, err = s.read(ctx, i.manifest.Config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	i.config = &v1.ConfigFile{}
	if err := json.Unmarshal(i.rawConfig, i.config); err != nil {
		return nil, fmt.Errorf("config %s is not valid: %w", i.manifest.Config.Digest, err)
	}
	return i, i.check()
}

// layerTypes are the media types of layers that a base may have.
var layerTypes = map[types.MediaType]bool{
	types.OCILayer: true, types.OCILayerZStd: true, types.OCIUncompressedLayer: true,
	types.DockerLayer: true, types.DockerUncompressedLayer: true,
	"application/vnd.docker.image.rootfs.diff.tar.zstd": true, // containerd's
}

// windowsTypes are more of them, in bases for Windows: layers that only their owner
// may distribute, and from whom engines get them (OCI image spec, layer.md,
// "Non-Distributable Layers").
var windowsTypes = map[types.MediaType]bool{
	types.DockerForeignLayer: true, types.OCIRestrictedLayer: true, types.OCIUncompressedRestrictedLayer: true,
}

func (i *baseImage) windows() bool { return i.config.OS == "windows" }

func (i *baseImage) check() error {
	layers, diffIDs := i.manifest.Layers, i.config.RootFS.DiffIDs
	if len(layers) != len(diffIDs) {
		return fmt.Errorf("manifest and config disagree: %d layers, %d diff IDs", len(layers), len(diffIDs))
	}
	if len(layers) > maxLayers {
		return fmt.Errorf("%d layers, more than %d", len(layers), maxLayers)
	}
	for n, l := range layers {
		t := wording.Clip(string(l.MediaType))
		known := layerTypes[l.MediaType] || i.windows() && windowsTypes[l.MediaType]
		switch {
		case known && diffIDs[n].Algorithm == "sha256":
		case known:
			return fmt.Errorf("layer %s: diff ID %s: only sha256 digests are supported", l.Digest, diffIDs[n])
		case !l.MediaType.IsDistributable():
			return fmt.Errorf("layer %s may not be distributed (%s), so no image can be built on it", l.Digest, t)
		case strings.HasSuffix(string(l.MediaType), "+encrypted"):
			return fmt.Errorf("layer %s is encrypted (%s): decrypt the base first, as with skopeo copy --decryption-key", l.Digest, t)
		default:
			return fmt.Errorf("layer %s is of the unknown type %q", l.Digest, t)
		}
	}
	return nil
}

func (i *baseImage) MediaType() (types.MediaType, error) { return i.mediaType, nil }
func (i *baseImage) Size() (int64, error)                { return int64(len(i.raw)), nil }
func (i *baseImage) Digest() (v1.Hash, error)            { return partial.Digest(i) }
func (i *baseImage) ConfigName() (v1.Hash, error)        { return i.manifest.Config.Digest, nil }
func (i *baseImage) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *baseImage) RawConfigFile() ([]byte, error)      { return i.rawConfig, nil }
func (i *baseImage) Manifest() (*v1.Manifest, error)     { return i.manifest.DeepCopy(), nil }
func (i *baseImage) ConfigFile() (*v1.ConfigFile, error) { return i.config.DeepCopy(), nil }

// Layers implements v1.Image.
func (i *baseImage) Layers() ([]v1.Layer, error) {
	layers := make([]v1.Layer, len(i.manifest.Layers))
	for n := range layers {
		layers[n] = i.layer(n)
	}
	return layers, nil
}

func (i *baseImage) layer(n int) v1.Layer {
	l := &baseLayer{i.source, i.manifest.Layers[n], i.config.RootFS.DiffIDs[n]}
	if ref := i.source.from.reference(); ref != nil {
		return &remote.MountableLayer{Layer: l, Reference: ref}
	}
	return l
}

// LayerByDigest implements v1.Image.
func (i *baseImage) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if h == i.manifest.Config.Digest {
		return partial.ConfigLayer(i)
	}
	for n, l := range i.manifest.Layers {
		if l.Digest == h {
			return i.layer(n), nil
		}
	}
	return nil, fmt.Errorf("base %s: no layer %s", i.source.ref, h)
}

// LayerByDiffID implements v1.Image.
func (i *baseImage) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for n, d := range i.config.RootFS.DiffIDs {
		if d == h {
			return i.layer(n), nil
		}
	}
	return nil, fmt.Errorf("base %s: no layer with diff ID %s", i.source.ref, h)
}

// baseLayer is a layer as the base's manifest describes it.
type baseLayer struct {
	source *Source
	desc   v1.Descriptor
	diffID v1.Hash
}

func (l *baseLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *baseLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *baseLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *baseLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Exists keeps ggcr's validator from downloading the layer to find out.
func (l *baseLayer) Exists() (bool, error) { return true, nil }

// Compressed implements v1.Layer, which has no context: a download ends with the
// context in Resolver.Remote alone.
func (l *baseLayer) Compressed() (io.ReadCloser, error) {
	if !l.desc.MediaType.IsDistributable() {
		return nil, fmt.Errorf("base %s: layer %s (%s) may be distributed by its owner alone", l.source.ref, l.desc.Digest, l.desc.MediaType)
	}
	f, err := l.source.open(context.Background(), l.desc)
	if err != nil {
		return nil, fmt.Errorf("base %s: layer %w", l.source.ref, err)
	}
	return f, nil
}

// Uncompressed implements v1.Layer.
func (l *baseLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	r, err := filetree.Uncompress(f)
	if err != nil {
		return nil, fmt.Errorf("base %s: layer %s: %w", l.source.ref, l.desc.Digest, err)
	}
	return r, nil
}
