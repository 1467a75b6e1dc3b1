// Package evidence says what an image is made of, how it was made and by whom:
// bills of materials, provenance, signatures, and where two images differ. It
// knows images and bytes; registries and plans are its callers' business.
//
// Its files, each knowing those before it: binary, purl, programs, system and
// contents, which know each other; graph, spdx, cyclonedx, provenance, document;
// key, bundle, artifact; difference.
package evidence

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// Contents are what one platform's image is made of. As JSON they go from the
// machine that built the image to the one that makes the index.
type Contents struct {
	Platform string    `json:"platform"`
	Digest   v1.Hash   `json:"digest"` // of the manifest
	Base     *Base     `json:"base,omitempty"`
	System   System    `json:"system,omitzero"`
	Binaries []Binary  `json:"binaries,omitempty"`
	Files    []File    `json:"files,omitempty"`
	Runtime  []v1.Hash `json:"runtime,omitempty"` // the diff IDs of layers with runtime files
	// Parameters are everything that decided how it was made, as JSON for
	// provenance. Collect leaves them to its caller.
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// Base is an image's base. Nil: scratch.
type Base struct {
	Name  string  `json:"name,omitempty"` // in full; empty if no registry has it
	Index v1.Hash `json:"index"`          // that Name referred to
	Child v1.Hash `json:"child"`          // the platform's image in it
}

// File is a file of the project in an image.
type File struct {
	Path   string  `json:"path"` // absolute
	Digest v1.Hash `json:"digest"`
}

// Source is an image to look into.
type Source struct {
	Platform string
	Image    v1.Image
	Base     *Base
	// Binaries are the programs in it, with the files on this machine that
	// they were made from.
	Binaries []Executable
}

// contentsFormat is part of the key of kept Contents and Systems. Increase it when
// Collect finds something else.
const contentsFormat = "4"

// What created the layers that Collect tells apart, as in the image's history.
const (
	binaryLayer  = "multimage: binary "
	runtimeLayer = "multimage: runtime files"
	filesLayer   = "multimage: files"
)

// Collect finds out what an image is made of, and keeps it in the cache by the
// image's digest.
func Collect(ctx context.Context, cache *store.Store, s Source) (Contents, error) {
	digest, err := s.Image.Digest()
	if err != nil {
		return Contents{}, err
	}
	key := contentsFormat + " " + s.Platform + " " + digest.String()
	var c Contents
	if cache.Load("contents", key, &c) {
		c.Base = s.Base // the index that it is from is not in the digest
		return c, nil
	}
	c = Contents{Platform: s.Platform, Digest: digest, Base: s.Base}
	for _, e := range s.Binaries {
		b, err := readBinary(e)
		if err != nil {
			return c, fmt.Errorf("binary %s: %w", e.Path, err)
		}
		c.Binaries = append(c.Binaries, b)
	}
	layers, err := readLayers(s.Image)
	if err != nil {
		return c, err
	}
	var system []layer
	for _, l := range layers {
		switch {
		case strings.HasPrefix(l.createdBy, binaryLayer):
		case l.createdBy == runtimeLayer:
			c.Runtime = append(c.Runtime, l.diffID)
		case l.createdBy == filesLayer:
			if err := c.addFiles(ctx, l); err != nil {
				return c, err
			}
		default: // the base's, and those with packages
			system = append(system, l)
		}
	}
	if c.windows() {
		c.System.Incomplete = "what a base for Windows has isn't read"
	} else if c.System, err = keptSystem(ctx, cache, system); err != nil {
		return c, err
	}
	// The image's own files hide programs of the base.
	c.System.Programs = slices.DeleteFunc(c.System.Programs, func(b Binary) bool {
		return slices.ContainsFunc(c.Binaries, func(own Binary) bool { return own.Path == b.Path }) ||
			slices.ContainsFunc(c.Files, func(f File) bool { return f.Path == b.Path })
	})
	cache.Save("contents", key, c)
	return c, nil
}

func (c *Contents) windows() bool { return strings.HasPrefix(c.Platform, "windows/") }

// layer is a layer with its entry in the history.
type layer struct {
	v1.Layer
	createdBy string
	diffID    v1.Hash
}

func readLayers(img v1.Image) ([]layer, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var history []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			history = append(history, h.CreatedBy)
		}
	}
	if len(history) != len(layers) || len(config.RootFS.DiffIDs) != len(layers) {
		return nil, fmt.Errorf("%d layers, but %d in the history and %d diff IDs", len(layers), len(history), len(config.RootFS.DiffIDs))
	}
	list := make([]layer, len(layers))
	for i, l := range layers {
		list[i] = layer{l, history[i], config.RootFS.DiffIDs[i]}
	}
	return list, nil
}

// addFiles lists the regular files of a layer.
func (c *Contents) addFiles(ctx context.Context, l layer) error {
	err := l.walk(ctx, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		digest, _, err := v1.SHA256(r)
		name := clean(h.Name)
		if c.windows() {
			name = strings.TrimPrefix(name, "Files/")
		}
		c.Files = append(c.Files, File{"/" + name, digest})
		return err
	})
	slices.SortFunc(c.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return err
}

// walk calls f for each entry of the layer.
func (l layer) walk(ctx context.Context, f func(*tar.Header, io.Reader) error) (err error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	r := tar.NewReader(disk.Reader(ctx, rc))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f(h, r)
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.diffID, err)
		}
	}
}
