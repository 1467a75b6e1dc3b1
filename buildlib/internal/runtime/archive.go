package runtime

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// manifestJSON is the archive's table of contents, manifest.json.
type manifestJSON struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeArchive writes an image as `docker save` would, the only format that all
// engines load. Layers are gzip or plain tar, because Docker before version 23
// can't read zstd.
func writeArchive(ctx context.Context, to io.Writer, img v1.Image, names []string) error {
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	id, err := img.ConfigName()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	contents := manifestJSON{Config: id.Hex + ".json", RepoTags: names, Layers: []string{}}
	a := archive{ctx, tar.NewWriter(to)}
	if err := a.bytes(contents.Config, config); err != nil {
		return err
	}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return err
		}
		file := h.Hex + ".tar"
		if !slices.Contains(contents.Layers, file) {
			if err := a.layer(file, l); err != nil {
				return fmt.Errorf("layer %s: %w", h, err)
			}
		}
		contents.Layers = append(contents.Layers, file)
	}
	table, err := json.Marshal([]manifestJSON{contents})
	if err != nil {
		return err
	}
	if err := a.bytes("manifest.json", table); err != nil {
		return err
	}
	return a.w.Close()
}

// archive is a tar file being written.
type archive struct {
	ctx context.Context
	w   *tar.Writer
}

func (a archive) layer(file string, l v1.Layer) error {
	mt, err := l.MediaType()
	if err != nil {
		return err
	}
	if mt == types.OCILayerZStd {
		return a.decompressed(file, l)
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	rc, err := l.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	return a.file(file, size, rc)
}

// decompressed adds a layer as plain tar, by way of a temporary file: an entry's
// header, which has its size, comes before its content.
func (a archive) decompressed(file string, l v1.Layer) error {
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	f, err := os.CreateTemp("", "multimage-layer-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	size, err := io.Copy(f, disk.Reader(a.ctx, rc))
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.file(file, size, f)
}

func (a archive) bytes(file string, data []byte) error {
	return a.file(file, int64(len(data)), bytes.NewReader(data))
}

func (a archive) file(file string, size int64, r io.Reader) error {
	if err := a.w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(a.w, disk.Reader(a.ctx, r))
	return err
}
