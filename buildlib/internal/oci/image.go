package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Assembler makes images. One serves a whole run, from any number of
// goroutines; it needs its Cache and nothing else.
type Assembler struct {
	// Cache keeps layers.
	Cache Cache

	layers   flights  // by key
	contents sync.Map // host path to content
	zips     sync.Map // host path to func() ([]change, error)

	once sync.Once
	gz   *compressor
}

func (a *Assembler) compressor() *compressor {
	a.once.Do(func() { a.gz = newCompressor() })
	return a.gz
}

// Spec is what one image for one platform is made of.
type Spec struct {
	// Platform is what the config says, whatever the base says.
	Platform v1.Platform
	// Base is what the image stands on. Nil: scratch.
	Base *Base
	// Binaries get a layer each, over that of the Files.
	Binaries []Executable
	Files    []File
	// WorkDir is made, as the User's, if it isn't there. Empty: the base's.
	WorkDir string
	User    User
	// Entrypoint is the command. Nil: the first binary.
	Entrypoint []string
	// Cmd is the default arguments. Nil: none.
	Cmd []string
	// BaseCommand makes what is nil of Entrypoint and Cmd the base's. So it is
	// without binaries and Entrypoint, too.
	BaseCommand bool
	// Env, as KEY=VALUE, Ports, as PORT[-PORT][/PROTOCOL], and Volumes are
	// joined to the base's. Volumes' folders are made as WorkDir is.
	Env     []string
	Ports   []string
	Volumes []string
	// StopSignal replaces the base's unless it is empty.
	StopSignal string
	// CACerts and TZData add certificate roots and time zones that the base
	// doesn't have; the zones are from ZoneInfo, the path of Go's
	// zoneinfo.zip on this machine.
	CACerts, TZData bool
	ZoneInfo        string
	// Labels go into the config, Annotations into the manifest. The keys
	// that name the base are added to both.
	Labels      map[string]string
	Annotations map[string]string
	// Created is the time of the image and its history. Zero: 1970.
	Created time.Time
}

// Executable is a program to put into an image.
type Executable struct {
	Path   string  // in the image, absolute and clean
	Source string  // the file on this machine
	Digest v1.Hash // sha256 of its content
	Size   int64   // in bytes
	// Identity is that of Source when Digest was taken. Zero, or no longer
	// true: the content is hashed again while it is compressed.
	Identity disk.Identity
}

func (s *Spec) created() time.Time {
	if s.Created.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return s.Created.UTC().Truncate(time.Second)
}

// part is a layer to be, with what the history says of it.
type part struct {
	what    string
	changes []change
}

// Image makes the image of s: the base's layers, one with runtime files and
// one with Files, where there are any, and one per binary. It is complete when
// Image returns: all its own layers are in the cache. ctx bounds the making;
// one layer that several images share is made under the ctx of the first.
func (a *Assembler) Image(ctx context.Context, s Spec) (v1.Image, error) {
	var tree *Tree
	var fromBase string
	if s.Base != nil {
		tree, fromBase = s.Base.Tree, s.Base.Config.Config.User
	}
	fs := newRootfs(tree)
	var parts []part
	take := func(what string) {
		if changes := fs.take(); len(changes) > 0 {
			parts = append(parts, part{what, changes})
		}
	}
	user, err := addUser(fs, s.User, fromBase, s.Base == nil)
	if err != nil {
		return nil, err
	}
	if err := a.addRuntime(fs, &s, user); err != nil {
		return nil, err
	}
	take("runtime files")
	if err := a.addFiles(ctx, fs, s.Files); err != nil {
		return nil, err
	}
	take("files")
	for _, b := range s.Binaries {
		if err := b.addTo(fs); err != nil {
			return nil, fmt.Errorf("binary %w", err)
		}
		take("binary " + b.Path)
	}
	if user.config != fromBase && (fs.has(passwdPath) || fs.has(groupPath)) {
		// Accounts of the user's own: what engines would find there isn't known.
		user.config = user.numbers()
	}
	config, err := s.config(user.config)
	if err != nil {
		return nil, err
	}
	layers := make([]*layer, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		g.Go(func() (err error) {
			if layers[i], err = a.layer(gctx, p.changes); err != nil {
				return fmt.Errorf("%s: %w", p.what, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.assemble(config, parts, layers)
}

func (b Executable) addTo(to *rootfs) error {
	if err := checkPath(b.Path); err != nil {
		return fmt.Errorf("%s: %w", b.Path, err)
	}
	if b.Digest.Algorithm != "sha256" {
		return fmt.Errorf("%s: its digest %q is no sha256", b.Path, b.Digest)
	}
	return to.put(change{
		Path: b.Path, Type: tar.TypeReg, Mode: 0o755, Size: b.Size, Digest: b.Digest, Source: b.Source, Identity: b.Identity,
		Open: func() (io.ReadCloser, error) { return os.Open(b.Source) },
	}, "binary "+b.Path)
}

// assemble joins the base's layers and the image's own.
func (s *Spec) assemble(config *v1.ConfigFile, parts []part, layers []*layer) (v1.Image, error) {
	img := &image{}
	manifest := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Layers:        []v1.Descriptor{},
		Annotations:   s.annotations(),
	}
	if s.Base != nil {
		if err := img.stand(s, config, &manifest); err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
	}
	for i, l := range layers {
		manifest.Layers = append(manifest.Layers, v1.Descriptor{
			MediaType: types.OCILayer, Size: l.layerRecord.Size, Digest: l.layerRecord.Digest,
		})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.layerRecord.DiffID)
		config.History = append(config.History, v1.History{
			Created: config.Created, CreatedBy: "multimage: " + parts[i].what,
		})
		img.layers = append(img.layers, l)
	}
	var err error
	if img.config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	if manifest.Config, err = describe(types.OCIConfigJSON, img.config); err != nil {
		return nil, err
	}
	if img.manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	if img.digest, _, err = v1.SHA256(bytes.NewReader(img.manifest)); err != nil {
		return nil, err
	}
	return img, nil
}

// stand puts the image onto its base: the base's layers as they are, called by
// OCI's media types, and its history.
func (img *image) stand(s *Spec, config *v1.ConfigFile, manifest *v1.Manifest) error {
	from, err := s.Base.Image.Manifest()
	if err != nil {
		return err
	}
	layers, err := s.Base.Image.Layers()
	if err != nil {
		return err
	}
	diffIDs := s.Base.Config.RootFS.DiffIDs
	if len(from.Layers) != len(diffIDs) || len(layers) != len(diffIDs) {
		return fmt.Errorf("its manifest has %d layers, its config %d", len(from.Layers), len(diffIDs))
	}
	for i, d := range from.Layers {
		media := ociType(d.MediaType)
		if media != d.MediaType {
			layers[i] = retype(layers[i], media)
		}
		manifest.Layers = append(manifest.Layers, v1.Descriptor{
			MediaType: media, Size: d.Size, Digest: d.Digest, URLs: d.URLs, Annotations: foreign(d.Annotations),
		})
	}
	img.layers = append(img.layers, layers...)
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffIDs...)
	config.History = append(config.History, baseHistory(s, len(diffIDs))...)
	return nil
}

// baseHistory is the base's history, if it has an entry for each layer: config
// validators count them.
func baseHistory(s *Spec, layers int) []v1.History {
	history := s.Base.Config.History
	n := 0
	for _, h := range history {
		if !h.EmptyLayer {
			n++
		}
	}
	if n == layers {
		return history
	}
	history = make([]v1.History, layers)
	for i := range history {
		history[i] = v1.History{Created: v1.Time{Time: s.created()}, CreatedBy: "multimage: layer of the base"}
	}
	return history
}

// foreign are the annotations that aren't OCI's: those of a layer tell lazy
// snapshotters how to read it.
func foreign(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	maps.DeleteFunc(kept, func(k, _ string) bool { return strings.HasPrefix(k, ociKeys) })
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// ociType is what OCI calls a layer of that Docker type.
func ociType(t types.MediaType) types.MediaType {
	switch t {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	case types.DockerForeignLayer:
		return types.OCIRestrictedLayer
	case "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return types.OCILayerZStd
	}
	return t
}

// retype gives a layer another media type. One that can be mounted from its
// repository stays so: only a *remote.MountableLayer is.
func retype(l v1.Layer, t types.MediaType) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: retyped{m.Layer, t}, Reference: m.Reference}
	}
	return retyped{l, t}
}

type retyped struct {
	v1.Layer
	media types.MediaType
}

func (r retyped) MediaType() (types.MediaType, error) { return r.media, nil }
func (r retyped) Exists() (bool, error)               { return partial.Exists(r.Layer) }

// image is an assembled image: its manifest and config are settled, so that
// asking costs nothing and cannot fail. It implements v1.Image.
type image struct {
	manifest, config []byte
	digest           v1.Hash
	layers           []v1.Layer
}

func (i *image) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (i *image) Digest() (v1.Hash, error)            { return i.digest, nil }
func (i *image) Size() (int64, error)                { return int64(len(i.manifest)), nil }
func (i *image) RawManifest() ([]byte, error)        { return bytes.Clone(i.manifest), nil }
func (i *image) RawConfigFile() ([]byte, error)      { return bytes.Clone(i.config), nil }
func (i *image) Manifest() (*v1.Manifest, error) {
	return v1.ParseManifest(bytes.NewReader(i.manifest))
}
func (i *image) ConfigName() (v1.Hash, error) { return partial.ConfigName(i) }
func (i *image) Layers() ([]v1.Layer, error)  { return append([]v1.Layer(nil), i.layers...), nil }
func (i *image) ConfigFile() (*v1.ConfigFile, error) {
	return v1.ParseConfigFile(bytes.NewReader(i.config))
}

// LayerByDigest returns the layer, or the config, of that digest.
func (i *image) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if name, err := i.ConfigName(); err == nil && name == h {
		return partial.ConfigLayer(i)
	}
	return i.find(h, v1.Layer.Digest)
}

// LayerByDiffID returns the layer that is h uncompressed.
func (i *image) LayerByDiffID(h v1.Hash) (v1.Layer, error) { return i.find(h, v1.Layer.DiffID) }

func (i *image) find(h v1.Hash, by func(v1.Layer) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range i.layers {
		if got, err := by(l); err == nil && got == h {
			return l, nil
		}
	}
	return nil, errors.New("the image has no layer " + h.String())
}

// describe returns the descriptor of a blob.
func describe(media types.MediaType, blob []byte) (v1.Descriptor, error) {
	h, size, err := v1.SHA256(bytes.NewReader(blob))
	return v1.Descriptor{MediaType: media, Size: size, Digest: h}, err
}
