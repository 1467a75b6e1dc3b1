package rootfs

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// layerFormat is the version of how changes become bytes: a new one makes all layers
// anew.
const layerFormat = 2

// layerRecords is the kind of the cache's records of layers.
const layerRecords = "layer"

// layerRecord is the cache's record of a layer.
type layerRecord struct {
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`
}

// layer is a layer whose blob is in the cache. It implements v1.Layer. Only its content
// is read.
type layer struct {
	layerRecord
	media types.MediaType
	cache store.Cache
	// rebuild makes the blob again if the cache has lost it.
	rebuild func() (layerRecord, error)
}

func (l *layer) Digest() (v1.Hash, error)            { return l.layerRecord.Digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.layerRecord.DiffID, nil }
func (l *layer) Size() (int64, error)                { return l.layerRecord.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.media, nil }
func (l *layer) Exists() (bool, error)               { return true, nil }

// Compressed implements v1.Layer.
func (l *layer) Compressed() (io.ReadCloser, error) {
	f, err := l.cache.Open(l.layerRecord.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		var made layerRecord
		if made, err = l.rebuild(); err == nil && made != l.layerRecord {
			err = fmt.Errorf("made again it is %s, another one than %s", made.Digest, l.layerRecord.Digest)
		}
		if err == nil {
			f, err = l.cache.Open(l.layerRecord.Digest)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return f, nil
}

// Uncompressed implements v1.Layer.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	f, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return filetree.Uncompress(f)
}

// layerKey names the layer of the changes by all that its bytes depend on, and by
// nothing else: not by times of files or paths on this machine.
func layerKey(f *format, changes []change) string {
	sum := sha256.New()
	for _, c := range changes {
		fmt.Fprintf(sum, "%q %c %o %d:%d %q %d %s %q\n", c.Path, c.Type, c.Mode, c.UID, c.GID, c.Link, c.Size, c.Digest, c.Xattrs)
		if c.Security != "" {
			fmt.Fprintf(sum, "%s\n", c.Security)
		}
	}
	return fmt.Sprintf("format %d, %s %s, %x", layerFormat, compressorName(), f.name, sum.Sum(nil))
}

// layer returns the layer of the changes. If it is in the cache, no file is read.
// Images with the same layer share it.
func (b *Builder) layer(ctx context.Context, changes []change) (*layer, error) {
	key := layerKey(formatOf(b.Compression), changes)
	return b.layers.Do(ctx, key, func() (*layer, error) { return b.findOrBuild(ctx, key, changes) })
}

func (b *Builder) findOrBuild(ctx context.Context, key string, changes []change) (*layer, error) {
	media := formatOf(b.Compression).media
	// v1.Layer has no context; the cache's ends the rebuild.
	rebuild := func() (layerRecord, error) { return b.build(context.Background(), changes) }
	var rec layerRecord
	if b.Cache.Load(layerRecords, key, &rec) {
		// Whatever is wrong with the blob, it is built anew.
		if _, err := b.Cache.Blob(rec.Digest); err == nil {
			return &layer{rec, media, b.Cache, rebuild}, nil
		}
	}
	rec, err := b.build(ctx, changes)
	if err != nil {
		return nil, err
	}
	b.Cache.Save(layerRecords, key, rec)
	return &layer{rec, media, b.Cache, rebuild}, nil
}

// errNotTaken is the error of writing a blob after the cache has stopped reading.
var errNotTaken = errors.New("the cache stopped reading")

// build puts the layer of the changes into the cache.
func (b *Builder) build(ctx context.Context, changes []change) (layerRecord, error) {
	r, w := io.Pipe()
	var (
		diffID  v1.Hash
		failed  error
		written = make(chan struct{})
	)
	go func() {
		defer close(written)
		diffID, failed = b.compressor().write(ctx, formatOf(b.Compression), w, func(w io.Writer) error { return writeTar(ctx, w, changes) })
		w.CloseWithError(failed)
	}()
	digest, size, err := b.Cache.Put(v1.Hash{}, r)
	r.CloseWithError(errNotTaken)
	<-written
	if failed != nil && !errors.Is(failed, errNotTaken) {
		return layerRecord{}, failed
	}
	if err != nil {
		return layerRecord{}, fmt.Errorf("cache: %w", err)
	}
	if failed != nil {
		return layerRecord{}, fmt.Errorf("cache: %w", failed)
	}
	return layerRecord{Digest: digest, DiffID: diffID, Size: size}, nil
}

// writeTar writes the changes as a layer's tar (OCI image spec, layer.md).
// archive/tar falls back from USTAR to PAX by itself, for a path that needs it.
func writeTar(ctx context.Context, w io.Writer, changes []change) error {
	t := tar.NewWriter(w)
	buf := make([]byte, 256<<10)
	for _, c := range changes {
		if err := c.write(ctx, t, buf); err != nil {
			return err
		}
	}
	return t.Close()
}
