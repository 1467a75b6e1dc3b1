// Package image makes an image from layers and a configuration, and an index from
// images (OCI image spec, manifest.md, config.md, image-index.md). It reads no
// layer and writes no file.
//
// Its files: image, which also joins the base's configuration and the image's own; and
// index.
package image

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec is what one image for one platform is made of.
type Spec struct {
	// Platform is the platform in the config, whatever the base's is.
	Platform v1.Platform
	// Base is the base image. Nil: scratch.
	Base v1.Image
	// Layers come on top of the base's.
	Layers []Layer
	// Config is the image's own configuration. Env, ports, volumes and labels are
	// added to the base's; a label without a value removes the base's. A zero working
	// directory, stop signal or health check is the base's. Entrypoint and Cmd are
	// the base's if BaseEntrypoint and BaseCmd are set. User is never the base's.
	Config                  v1.Config
	BaseEntrypoint, BaseCmd bool
	// StartInterval belongs to Config.Healthcheck, which has no field for it.
	StartInterval time.Duration
	// Annotations go into the manifest, except those without a value.
	Annotations map[string]string
	// Created is the time of the image and its history. Zero: 1970.
	Created time.Time
}

// Layer is a layer with its description for the history.
type Layer struct {
	v1.Layer
	Holds string
}

func (s *Spec) created() time.Time {
	if s.Created.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return s.Created.UTC().Truncate(time.Second)
}

// New joins the base's layers and the image's own. It reads none of them.
func New(s Spec) (v1.Image, error) {
	var from *v1.ConfigFile
	if s.Base != nil {
		raw, err := s.Base.RawConfigFile()
		if err == nil {
			from, err = v1.ParseConfigFile(bytes.NewReader(raw))
		}
		if err == nil && s.Config.Healthcheck == nil {
			s.StartInterval, err = startInterval(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
	}
	config := s.config(from)
	img := &image{}
	manifest := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Layers:        []v1.Descriptor{},
		Annotations:   nonEmpty(s.Annotations),
	}
	if s.Base != nil {
		if err := img.putOnto(&s, from, config, &manifest); err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
	}
	for _, l := range s.Layers {
		d, err := partial.Descriptor(l.Layer)
		if err != nil {
			return nil, err
		}
		diffID, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, v1.History{Created: config.Created, CreatedBy: "multimage: " + l.Holds})
		img.layers = append(img.layers, l.Layer)
	}
	var err error
	if img.config, err = marshal(config, s.StartInterval); err != nil {
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

// putOnto adds the layers and history of the base, whose config is baseConfig. The
// layers get OCI's media types.
func (img *image) putOnto(s *Spec, baseConfig, config *v1.ConfigFile, manifest *v1.Manifest) error {
	from, err := s.Base.Manifest()
	if err != nil {
		return err
	}
	layers, err := s.Base.Layers()
	if err != nil {
		return err
	}
	diffIDs := baseConfig.RootFS.DiffIDs
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
	config.History = append(config.History, baseHistory(s, baseConfig.History, len(diffIDs))...)
	return nil
}

// baseHistory is the base's history if it has an entry for each layer, which
// validators demand, or else one that has.
func baseHistory(s *Spec, history []v1.History, layers int) []v1.History {
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

// foreign are the annotations that aren't OCI's. Those of a layer may tell lazy
// snapshotters how to read it.
func foreign(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	maps.DeleteFunc(kept, func(k, _ string) bool { return strings.HasPrefix(k, ociKeys) })
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// ociType is OCI's media type for a layer of that Docker type.
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

// retype gives a layer another media type. A *remote.MountableLayer stays one, so that
// it can be mounted.
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

// image is an assembled image, whose manifest and config are final. It implements
// v1.Image.
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
func (i *image) Layers() ([]v1.Layer, error)  { return slices.Clone(i.layers), nil }
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
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// describe returns the descriptor of a blob.
func describe(media types.MediaType, blob []byte) (v1.Descriptor, error) {
	h, size, err := v1.SHA256(bytes.NewReader(blob))
	return v1.Descriptor{MediaType: media, Size: size, Digest: h}, err
}

// ociKeys starts the keys of OCI's own annotations and labels (OCI image spec,
// annotations.md).
const ociKeys = "org.opencontainers."

// defaultPath is the PATH of an image without a base. Runtimes assume it anyway.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// config returns the config of the image without its layers (OCI image spec,
// config.md). From the base, nil for scratch, it takes only what matters for running
// containers.
func (s *Spec) config(base *v1.ConfigFile) *v1.ConfigFile {
	from := v1.Config{Env: []string{defaultPath}}
	if base != nil {
		from = base.Config
	}
	c := v1.Config{
		User:         s.Config.User,
		WorkingDir:   cmp.Or(s.Config.WorkingDir, from.WorkingDir),
		StopSignal:   cmp.Or(s.Config.StopSignal, from.StopSignal),
		Healthcheck:  cmp.Or(s.Config.Healthcheck, from.Healthcheck),
		Shell:        from.Shell,
		Entrypoint:   s.Config.Entrypoint,
		Cmd:          s.Config.Cmd,
		Env:          join(from.Env, s.Config.Env, s.Platform.OS),
		ExposedPorts: union(from.ExposedPorts, s.Config.ExposedPorts),
		Volumes:      union(from.Volumes, s.Config.Volumes),
		Labels:       labels(from.Labels, s.Config.Labels),
	}
	if s.BaseEntrypoint {
		c.Entrypoint = from.Entrypoint
	}
	if s.BaseCmd {
		c.Cmd = from.Cmd
	}
	if s.Platform.OS == "windows" {
		// It is a single command line, which Windows splits.
		c.ArgsEscaped = from.ArgsEscaped && (s.BaseEntrypoint || s.BaseCmd)
	}
	p := normalized(s.Platform)
	return &v1.ConfigFile{
		Created:      v1.Time{Time: s.created()},
		OS:           p.OS,
		Architecture: p.Architecture,
		Variant:      p.Variant,
		OSVersion:    p.OSVersion,
		OSFeatures:   p.OSFeatures,
		Config:       c,
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}
}

// startInterval returns the StartInterval of the health check in a config, which
// v1.HealthConfig doesn't have.
func startInterval(config []byte) (time.Duration, error) {
	var c struct {
		Config struct {
			Healthcheck struct{ StartInterval time.Duration }
		} `json:"config"`
	}
	err := json.Unmarshal(config, &c)
	return c.Config.Healthcheck.StartInterval, err
}

// marshal is config as JSON, with the start interval in its health check.
func marshal(config *v1.ConfigFile, interval time.Duration) ([]byte, error) {
	data, err := json.Marshal(config)
	if err != nil || interval == 0 || config.Config.Healthcheck == nil {
		return data, err
	}
	check, err := json.Marshal(struct {
		*v1.HealthConfig
		StartInterval time.Duration
	}{config.Config.Healthcheck, interval})
	if err != nil {
		return nil, err
	}
	without, err := json.Marshal(config.Config.Healthcheck)
	key := []byte(`"Healthcheck":`) // in a string its quotes would be escaped
	return bytes.Replace(data, append(key, without...), slices.Concat(key, check), 1), err
}

// join adds variables, each KEY=VALUE, to the base's. Those that the base has are
// replaced in place.
func join(from, own []string, os string) []string {
	list := slices.Clone(from)
	at := map[string]int{}
	name := func(kv string) string {
		key, _, _ := strings.Cut(kv, "=")
		if os == "windows" {
			return strings.ToUpper(key) // Path and PATH are the same there
		}
		return key
	}
	for i, kv := range list {
		at[name(kv)] = i // if there are two, programs see the last
	}
	for _, kv := range own {
		key := name(kv)
		if i, ok := at[key]; ok {
			list[i] = kv
			continue
		}
		at[key] = len(list)
		list = append(list, kv)
	}
	return list
}

// union has the keys of both maps. It is nil if there are none: JSON would show an
// empty map.
func union[V any](from, own map[string]V) map[string]V {
	if len(from)+len(own) == 0 {
		return nil
	}
	all := map[string]V{}
	maps.Copy(all, from)
	maps.Copy(all, own)
	return all
}

// labels adds the image's labels to the base's. OCI's own labels (title, version,
// licenses, ...) of the base aren't true for the image. An empty label of the image
// removes the base's.
func labels(from, own map[string]string) map[string]string {
	from = maps.Clone(from)
	maps.DeleteFunc(from, func(k, _ string) bool {
		_, replaced := own[k]
		return replaced || strings.HasPrefix(k, ociKeys)
	})
	return union(from, nonEmpty(own))
}

// nonEmpty returns the labels or annotations that have a value.
func nonEmpty(all map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

// normalized is the platform as it is written in images: arm64 is v8 by default.
func normalized(p v1.Platform) v1.Platform {
	if p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = ""
	}
	p.Features = nil // no longer in the spec
	return p
}
