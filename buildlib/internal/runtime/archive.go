package runtime

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// archive writes an image as `docker save` would: the one form that all
// engines load. Layers are gzip or plain tar, because Docker before 23 knows
// no zstd.
type archive struct {
	ctx    context.Context
	w      io.Writer
	broken error // what w said when it failed
}

// Write implements io.Writer, telling an engine that went away from an image
// that can't be read.
func (a *archive) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if err != nil {
		a.broken = err
	}
	return n, err
}

// manifestJSON is the archive's table of contents, manifest.json.
type manifestJSON struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archive) write(img v1.Image, names []string) error {
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
	w := tar.NewWriter(a)
	if err := a.bytes(w, contents.Config, config); err != nil {
		return err
	}
	written := map[string]bool{}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return err
		}
		name := h.Hex + ".tar"
		contents.Layers = append(contents.Layers, name)
		if written[name] {
			continue
		}
		written[name] = true
		if err := a.layer(w, name, l); err != nil {
			return fmt.Errorf("layer %s: %w", h, err)
		}
	}
	table, err := json.Marshal([]manifestJSON{contents})
	if err != nil {
		return err
	}
	if err := a.bytes(w, "manifest.json", table); err != nil {
		return err
	}
	return w.Close()
}

func (a *archive) layer(w *tar.Writer, name string, l v1.Layer) error {
	mt, err := l.MediaType()
	if err != nil {
		return err
	}
	if mt == types.OCILayerZStd {
		return a.plain(w, name, l)
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
	return a.file(w, name, size, rc)
}

// plain adds a layer without its compression. A tar header comes before the
// content and holds its size, so the content goes through a file.
func (a *archive) plain(w *tar.Writer, name string, l v1.Layer) error {
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
	return a.file(w, name, size, f)
}

func (a *archive) bytes(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func (a *archive) file(w *tar.Writer, name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w, disk.Reader(a.ctx, r))
	return err
}
