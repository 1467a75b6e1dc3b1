// Package layout reads and writes OCI image layouts (OCI image spec,
// image-layout.md): folders, and the same in a tar.
//
// Its files: read and tar; write and foreign, which keeps what others have added to a
// layout of ours; archive, which writes a tar.
package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Options says how Write writes. Its zero value is usable.
type Options struct {
	// Tags are the names under which the index is listed; without any it
	// is listed once, without a name.
	Tags []string
	// Images are the images of the index that have a tag of their own, by tag.
	Images map[string]v1.Hash
	// Link makes dst the blob h, and nothing else, or returns an fs.ErrNotExist
	// if it doesn't have that blob. tmp is a folder on dst's file system. nil: no
	// blob is linked.
	Link func(h v1.Hash, dst, tmp string) error
	// Private is a folder for this layout's temporary files and record, on
	// its file system. Empty: beside the layout, with a hidden name.
	Private string
}

// Write makes dir an OCI image layout that holds the index. Every file appears whole
// or not at all, blobs before the index.json that refers to them. So whoever reads
// dir meanwhile, or after a killed run, finds the previous layout or the new one.
// Blobs of earlier layouts are removed last. A layout that is there already costs a
// few stats. Nobody else may write to dir at the same time.
//
// It touches only what it made: a folder that holds other files but no layout of ours
// is an error, and in a layout of ours, images and files that others have added stay,
// under tags other than ours.
//
// In Private it keeps a record of the blobs that it has verified; without it, blobs
// are verified again.
func Write(ctx context.Context, dir string, idx v1.ImageIndex, o Options) error {
	l := newWriter(dir, o)
	if err := l.write(ctx, idx); err != nil {
		return fmt.Errorf("layout %s: %w", dir, err)
	}
	return nil
}

type writer struct {
	dir, tmp string
	o        Options
	old      verified
	new      verified

	annotations map[string]string // of the previous index.json
	foreign     []json.RawMessage // its descriptors that others have added
}

func newWriter(dir string, o Options) *writer {
	if o.Private == "" {
		o.Private = filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".private")
	}
	return &writer{dir: dir, tmp: filepath.Join(o.Private, "tmp"), o: o}
}

// verified is the record of what we placed in a layout.
type verified struct {
	// Index is zero until the first run has finished. Then it is left out: the
	// text of the zero hash can't be parsed.
	Index v1.Hash  `json:"index,omitzero"`
	Tags  []string `json:"tags"`
	// Images are Options.Images.
	Images map[string]v1.Hash       `json:"images,omitempty"`
	Blobs  map[string]disk.Identity `json:"blobs"` // by the digest's hex
	// Placing are the digests, in hex, of the blobs of an unfinished layout, whose
	// tags are among Tags.
	Placing []string `json:"placing,omitempty"`
}

func (l *writer) recordPath() string {
	return filepath.Join(l.o.Private, "verified.json")
}

func (l *writer) blobPath(hex string) string {
	return filepath.Join(l.dir, "blobs", "sha256", hex)
}

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

func (l *writer) write(ctx context.Context, idx v1.ImageIndex) error {
	raw, err := idx.RawManifest()
	if err != nil {
		return err
	}
	media, err := idx.MediaType()
	if err != nil {
		return err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if err := l.look(ctx); err != nil {
		return err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	list, err := l.index(v1.Descriptor{MediaType: media, Digest: digest, Size: size}, m)
	if err != nil {
		return err
	}
	l.new = verified{Index: digest, Tags: l.o.Tags, Images: l.o.Images, Blobs: map[string]disk.Identity{}}
	if l.unchanged(list) {
		return nil
	}
	if err := errors.Join(os.RemoveAll(l.tmp), os.MkdirAll(l.tmp, 0o755)); err != nil {
		return err
	}
	blobs, err := blobsOf(idx, m)
	if err != nil {
		return err
	}
	blobs = append(blobs, inMemory(digest, raw))
	if err := l.announce(blobs); err != nil {
		return err
	}
	if err := l.file("oci-layout", []byte(layoutFile)); err != nil {
		return err
	}
	for _, b := range blobs {
		if err := l.blob(ctx, b); err != nil {
			return fmt.Errorf("blob %s: %w", b.digest, err)
		}
	}
	if err := l.file("index.json", list); err != nil {
		return err
	}
	if err := l.sweep(ctx); err != nil {
		return err
	}
	if err := disk.WriteRecord(l.recordPath(), l.tmp, l.new); err != nil {
		return err
	}
	return os.RemoveAll(l.tmp)
}

const indexType = types.OCIImageIndex

// index returns the new index.json: the index and its images under our tags, and what
// others have added.
func (l *writer) index(d v1.Descriptor, of *v1.IndexManifest) ([]byte, error) {
	m := struct {
		SchemaVersion int64             `json:"schemaVersion"`
		MediaType     types.MediaType   `json:"mediaType"`
		Manifests     []any             `json:"manifests"`
		Annotations   map[string]string `json:"annotations"`
	}{SchemaVersion: 2, MediaType: indexType, Annotations: map[string]string{}}
	ours, err := l.o.tagged(d, of)
	if err != nil {
		return nil, err
	}
	for _, d := range ours {
		m.Manifests = append(m.Manifests, d)
	}
	for _, raw := range l.foreign {
		m.Manifests = append(m.Manifests, raw)
	}
	maps.Copy(m.Annotations, l.annotations)
	m.Annotations[layoutMark] = d.Digest.String()
	return json.MarshalIndent(m, "", "  ")
}

// tagged returns descriptors of the index d, and of its images, for all tags.
func (o Options) tagged(d v1.Descriptor, of *v1.IndexManifest) ([]v1.Descriptor, error) {
	var all []v1.Descriptor
	add := func(d v1.Descriptor, tag string) {
		d.Annotations = map[string]string{RefName: tag}
		all = append(all, d)
	}
	for _, tag := range o.Tags {
		add(d, tag)
	}
	if len(o.Tags) == 0 {
		all = append(all, d)
	}
	for _, tag := range slices.Sorted(maps.Keys(o.Images)) {
		i := slices.IndexFunc(of.Manifests, func(d v1.Descriptor) bool { return d.Digest == o.Images[tag] })
		if i < 0 {
			return nil, fmt.Errorf("tag %s: the index has no image %s", tag, o.Images[tag])
		}
		add(of.Manifests[i], tag)
	}
	return all, nil
}

// unchanged reports whether an earlier run finished the same layout, and it wasn't
// touched since.
func (l *writer) unchanged(list []byte) bool {
	if l.old.Index != l.new.Index || !slices.Equal(l.old.Tags, l.new.Tags) || len(l.old.Blobs) == 0 || len(l.old.Placing) > 0 {
		return false
	}
	if _, err := os.Lstat(l.tmp); err == nil {
		return false // an unfinished run left it, and perhaps blobs
	}
	for name, want := range map[string][]byte{"index.json": list, "oci-layout": []byte(layoutFile)} {
		got, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil || !bytes.Equal(got, want) {
			return false
		}
	}
	for hex, seen := range l.old.Blobs {
		if id, err := disk.Identify(l.blobPath(hex)); err != nil || !id.Same(seen) {
			return false
		}
	}
	return true
}

// file writes a file of the layout unless it is there already.
func (l *writer) file(name string, data []byte) error {
	path := filepath.Join(l.dir, name)
	if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, data) {
		return nil
	}
	return disk.WriteBytes(path, l.tmp, 0o644, data)
}

// blob is a blob that the layout is to hold.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
}

func inMemory(h v1.Hash, data []byte) blob {
	return blob{h, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// blobsOf lists the blobs of the index's images: of each its layers, its config and
// its manifest, in this order. Layers that may not be distributed are left where
// they are (OCI image spec, "Non-Distributable Layers").
func blobsOf(idx v1.ImageIndex, m *v1.IndexManifest) ([]blob, error) {
	var all []blob
	for _, d := range m.Manifests {
		if !d.MediaType.IsImage() {
			return nil, fmt.Errorf("child %s is a %s, not an image", d.Digest, d.MediaType)
		}
		img, err := idx.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		layers, err := img.Layers()
		if err != nil {
			return nil, err
		}
		config, err := partial.ConfigLayer(img)
		if err != nil {
			return nil, err
		}
		for _, l := range append(layers, config) {
			d, err := partial.Descriptor(l)
			if err != nil {
				return nil, err
			}
			if d.MediaType.IsDistributable() {
				all = append(all, blob{d.Digest, d.Size, l.Compressed})
			}
		}
		manifest, err := img.RawManifest()
		if err != nil {
			return nil, err
		}
		all = append(all, inMemory(d.Digest, manifest))
	}
	return all, nil
}

// announce records what is about to be placed, so that the next run knows what is ours
// if this one doesn't finish.
func (l *writer) announce(blobs []blob) error {
	n := l.old
	n.Placing = slices.Clone(n.Placing)
	for _, b := range blobs {
		n.Placing = append(n.Placing, b.digest.Hex)
	}
	slices.Sort(n.Placing)
	n.Placing = slices.Compact(n.Placing)
	n.Tags = slices.Concat(n.Tags, l.o.Tags, slices.Collect(maps.Keys(l.o.Images)))
	slices.Sort(n.Tags)
	n.Tags = slices.Compact(n.Tags)
	return disk.WriteRecord(l.recordPath(), l.tmp, n)
}

// blob places a blob, unless the file that is there is known to hold it: by a link, or
// else by hashing the file that is there, or else by a copy.
func (l *writer) blob(ctx context.Context, b blob) error {
	if _, ok := l.new.Blobs[b.digest.Hex]; ok {
		return nil
	}
	path := l.blobPath(b.digest.Hex)
	id, err := disk.Identify(path)
	there := err == nil && id.Size == b.size
	if there && id.Same(l.old.Blobs[b.digest.Hex]) {
		return l.see(b.digest)
	}
	if l.o.Link != nil {
		err := l.o.Link(b.digest, path, l.tmp)
		if err == nil {
			return l.see(b.digest)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if !there || !l.holds(ctx, path, b.digest) {
		if err := l.copy(ctx, b, path); err != nil {
			return err
		}
	}
	return l.see(b.digest)
}

func (l *writer) copy(ctx context.Context, b blob, path string) error {
	return disk.Write(path, l.tmp, 0o444, func(w io.Writer) error {
		rc, err := b.open()
		if err != nil {
			return err
		}
		defer rc.Close()
		got, size, err := v1.SHA256(io.TeeReader(disk.Reader(ctx, rc), w))
		if err != nil {
			return err
		}
		if got != b.digest {
			return fmt.Errorf("its content has the digest %s (%d bytes, want %d)", got, size, b.size)
		}
		return nil
	})
}

// holds reports whether the file at path has the digest h.
func (l *writer) holds(ctx context.Context, path string, h v1.Hash) bool {
	got, err := disk.SHA256(ctx, path)
	return err == nil && got == h
}

// see notes that the blob h is in place and verified.
func (l *writer) see(h v1.Hash) error {
	id, err := disk.Identify(l.blobPath(h.Hex))
	l.new.Blobs[h.Hex] = id
	return err
}
