package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// layoutMark is an annotation of the index.json that Write writes: the digest of the
// index that it listed. It identifies a layout of ours whose record is lost, say on
// the way through a CI's artifacts.
const layoutMark = "com.github.multimage.index"

// maxManifests is how many manifests an index.json may lead to.
const maxManifests = 10_000

// Check returns an error if Write would refuse to write to dir because it has
// somebody else's files.
func Check(ctx context.Context, dir string, o Options) error {
	l := newWriter(dir, o)
	if err := l.look(ctx); err != nil {
		return fmt.Errorf("layout %s: %w", dir, err)
	}
	return nil
}

// indexFile is an index.json, whose descriptors stay as they were written.
type indexFile struct {
	Annotations map[string]string `json:"annotations"`
	Manifests   []json.RawMessage `json:"manifests"`
}

// look finds out what dir holds: nothing, a layout of ours, to which others may have
// added, or something else, which is an error. It sets l.old, what we placed there,
// and l.foreign, what others have added to index.json.
func (l *writer) look(ctx context.Context) error {
	for _, dir := range []string{l.dir, filepath.Join(l.dir, "blobs"), filepath.Join(l.dir, "blobs", "sha256")} {
		if err := disk.CheckFolder(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	recordErr := disk.ReadRecord(l.recordPath(), &l.old)
	if recordErr != nil && !errors.Is(recordErr, fs.ErrNotExist) && !errors.Is(recordErr, disk.ErrDamaged) {
		return recordErr
	}
	raw, err := l.readFile("index.json")
	var list indexFile
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	mark, unmarked := v1.NewHash(list.Annotations[layoutMark])
	if errors.Is(recordErr, fs.ErrNotExist) && unmarked != nil {
		entries, err := os.ReadDir(l.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(entries) > 0 {
			return errors.New("the folder is in use: it holds what multimage didn't write, and doesn't overwrite: move it away, or set another Output")
		}
	}
	if err != nil {
		return nil // no index.json, or a damaged one of ours, which is replaced
	}
	l.annotations = list.Annotations
	descriptors := make([]v1.Descriptor, len(list.Manifests))
	for i, raw := range list.Manifests {
		if err := json.Unmarshal(raw, &descriptors[i]); err != nil {
			return fmt.Errorf("index.json: descriptor %d: %w", i, err)
		}
	}
	if recordErr != nil && len(descriptors) > 0 {
		if unmarked != nil {
			mark = descriptors[0].Digest // early layouts had no mark
		}
		if err := l.recall(ctx, mark, descriptors); err != nil {
			return err
		}
	}
	for i, d := range descriptors {
		if !l.ours(d) {
			l.foreign = append(l.foreign, list.Manifests[i])
		}
	}
	return nil
}

// recall sets l.old from the layout itself, which listed the index.
func (l *writer) recall(ctx context.Context, index v1.Hash, list []v1.Descriptor) error {
	l.old = verified{Index: index, Images: map[string]v1.Hash{}}
	for _, d := range list {
		if tag := d.Annotations[RefName]; tag != "" && d.Digest == index {
			l.old.Tags = append(l.old.Tags, tag)
		}
	}
	// What it doesn't reach stays in the layout.
	all, _ := l.reached(ctx, []v1.Descriptor{{Digest: index, MediaType: indexType}})
	for _, d := range list {
		if tag := d.Annotations[RefName]; tag != "" && d.Digest != index && all[d.Digest.Hex] {
			l.old.Images[tag] = d.Digest
		}
	}
	l.old.Placing = slices.Sorted(maps.Keys(all))
	return context.Cause(ctx)
}

// ours reports whether we listed the descriptor, or its tag is ours now.
func (l *writer) ours(d v1.Descriptor) bool {
	tag := d.Annotations[RefName]
	if _, ok := l.o.Images[tag]; tag != "" && (ok || slices.Contains(l.o.Tags, tag) || l.old.Images[tag] == d.Digest) {
		return true
	}
	placed := d.Digest == l.old.Index || slices.Contains(l.old.Placing, d.Digest.Hex)
	return placed && (tag == "" || slices.Contains(l.old.Tags, tag))
}

// readFile reads a small regular file of the layout.
func (l *writer) readFile(name string) ([]byte, error) {
	path := filepath.Join(l.dir, name)
	if _, err := disk.Identify(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, maxFile)
}

// reached returns the digests, in hex, of all that the descriptors lead to. With an
// error they are not complete.
func (l *writer) reached(ctx context.Context, from []v1.Descriptor) (map[string]bool, error) {
	all := map[string]bool{}
	for manifests := 0; len(from) > 0; {
		d := from[0]
		from = from[1:]
		if all[d.Digest.Hex] {
			continue
		}
		all[d.Digest.Hex] = true
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
			continue
		}
		if manifests++; manifests > maxManifests {
			return all, fmt.Errorf("more than %d manifests", maxManifests)
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		raw, err := l.readFile(filepath.Join("blobs", "sha256", d.Digest.Hex))
		if err != nil {
			return all, err
		}
		var m struct {
			Manifests, Layers []v1.Descriptor
			Config            v1.Descriptor
			Subject           *v1.Descriptor
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return all, err
		}
		from = append(append(from, m.Manifests...), m.Layers...)
		if m.Config.Digest.Hex != "" {
			from = append(from, m.Config)
		}
		if m.Subject != nil {
			from = append(from, *m.Subject)
		}
	}
	return all, nil
}

// sweep removes the blobs that we placed and that nothing refers to any more. Blobs
// that others have added stay, and so do ours that they refer to.
func (l *writer) sweep(ctx context.Context) error {
	swept := map[string]bool{}
	for hex := range l.old.Blobs {
		swept[hex] = true
	}
	for _, hex := range l.old.Placing {
		swept[hex] = true
	}
	used := map[string]bool{}
	if len(l.foreign) > 0 {
		var from []v1.Descriptor
		for _, raw := range l.foreign {
			var d v1.Descriptor
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			from = append(from, d)
		}
		var err error
		used, err = l.reached(ctx, from)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			used = swept // others may need any of them
		}
	}
	for hex := range swept {
		if _, ok := l.new.Blobs[hex]; ok {
			continue
		}
		if used[hex] { // it stays ours, for a later sweep
			if id, err := disk.Identify(l.blobPath(hex)); err == nil {
				l.new.Blobs[hex] = id
			}
			continue
		}
		if err := os.Remove(l.blobPath(hex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
