package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// refName is the tag of a manifest in index.json (OCI image spec,
	// annotations.md).
	refName = "org.opencontainers.image.ref.name"
)

// imageLayout is the origin of a base in an OCI image layout (OCI image spec,
// image-layout.md), a folder or the same in a tar. Its blobs are copied to the
// cache when they are needed, verified as a registry's are.
type imageLayout struct {
	path       string
	blobs      map[string]section // by name, of a plain tar; nil of a folder
	small      map[string][]byte  // index.json and the like of a tar
	compressed bool               // it is a tar in gzip
}

// section is where a tar has the content of a file.
type section struct{ offset, size int64 }

func (*imageLayout) reference() name.Reference { return nil }

func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

func (l *imageLayout) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if l.blobs == nil {
		f, err := openInside(l.path, blobName(d.Digest))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("the layout doesn't have it")
		}
		if err != nil {
			return nil, err
		}
		return readCloser{contextReader{ctx, f}, f}, nil
	}
	at, ok := l.blobs[blobName(d.Digest)]
	if l.compressed {
		return l.openCompressed(ctx, blobName(d.Digest))
	}
	if !ok {
		return nil, errors.New("the layout doesn't have it")
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return readCloser{contextReader{ctx, io.NewSectionReader(f, at.offset, at.size)}, f}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// openInside opens a regular file of the folder dir. No link leads out of it,
// and nothing that would block or never end is opened.
func openInside(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return root.Open(name)
}

// resolveLayout finds the manifest or index that the layout ref names and
// returns its bytes.
func (s *Source) resolveLayout(ctx context.Context, ref string) ([]byte, error) {
	p, tag, digest, err := s.bases.splitLayout(ref)
	if err != nil {
		return nil, err
	}
	l, err := openLayout(ctx, s.bases.Cache, p)
	if err != nil {
		return nil, err
	}
	s.from = l
	raw, err := l.file("index.json")
	if err != nil {
		return nil, err
	}
	if t, err := manifestType(raw); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	} else if !t.IsIndex() {
		return nil, errors.New("index.json: not an index")
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	d, err := s.choose(ctx, index.Manifests, tag, digest)
	if err != nil {
		return nil, err
	}
	if d != nil {
		s.Digest = d.Digest
		return s.read(ctx, *d)
	}
	// index.json is itself the index of one image for several platforms.
	s.Digest, _, err = s.bases.Cache.Put(v1.Hash{}, bytes.NewReader(raw))
	return raw, err
}

// splitLayout takes PATH, PATH:TAG or PATH@sha256:HEX apart. A colon may be
// part of the path: what exists decides.
func (b *Bases) splitLayout(ref string) (p, tag string, digest v1.Hash, err error) {
	if i := strings.LastIndex(ref, "@"); i > 0 && strings.Contains(ref[i:], ":") {
		digest, err = v1.NewHash(ref[i+1:])
		if err != nil {
			return "", "", digest, fmt.Errorf("%q is not a digest: %w", ref[i+1:], err)
		}
		ref = ref[:i]
	}
	if ref == "" {
		return "", "", digest, errors.New("no path: write oci:PATH")
	}
	abs := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(b.Dir, p)
	}
	if _, err = os.Stat(abs(ref)); err == nil {
		return abs(ref), "", digest, nil
	}
	if i := strings.LastIndex(ref, ":"); i > 0 && digest == (v1.Hash{}) {
		if _, cut := os.Stat(abs(ref[:i])); cut == nil {
			return abs(ref[:i]), ref[i+1:], digest, nil
		}
	}
	return "", "", digest, fmt.Errorf("no such image layout: %w", err)
}

// openLayout opens the layout in the folder or tar p. The blobs that are named
// in a compressed tar, which can only be read from front to back, go to the
// cache at once.
func openLayout(ctx context.Context, cache Cache, p string) (*imageLayout, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	l := &imageLayout{path: p}
	switch {
	case info.IsDir():
	case info.Mode().IsRegular():
		l.blobs, l.small = map[string]section{}, map[string][]byte{}
		if err := l.readTar(ctx, cache); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("neither a folder nor a tar")
	}
	raw, err := l.file("oci-layout")
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := l.file("manifest.json"); err == nil {
			return nil, errors.New("a docker archive, not an OCI image layout: convert it with skopeo copy docker-archive:FILE oci:FOLDER")
		}
		return nil, errors.New("not an OCI image layout: it has no file oci-layout")
	}
	if err != nil {
		return nil, err
	}
	var version struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("oci-layout: %w", err)
	}
	if !strings.HasPrefix(version.Version, "1.") {
		return nil, fmt.Errorf("oci-layout: unknown version %q of the image layout, want 1.0.0", version.Version)
	}
	return l, nil
}

// file returns one of the layout's own files.
func (l *imageLayout) file(name string) ([]byte, error) {
	if l.blobs != nil {
		if raw, ok := l.small[name]; ok {
			return raw, nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	f, err := openInside(l.path, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, maxManifest)
}

// readAll is io.ReadAll of at most limit bytes; name is the subject of the
// error if there are more.
func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return raw, err
}

// choose picks from a layout's index.json what tag or digest names, or else
// the only image. A nil descriptor without an error says that the manifests
// are one image's, one for each platform.
func (s *Source) choose(ctx context.Context, all []v1.Descriptor, tag string, digest v1.Hash) (*v1.Descriptor, error) {
	var found []v1.Descriptor
	var tags []string
	for _, d := range all {
		if attestation(d) {
			continue
		}
		if t := d.Annotations[refName]; t != "" {
			tags = append(tags, shorten(t))
		} else {
			tags = append(tags, d.Digest.String())
		}
		if tag != "" && d.Annotations[refName] != tag || digest != (v1.Hash{}) && d.Digest != digest {
			continue
		}
		// One image may have several tags.
		if !slices.ContainsFunc(found, func(f v1.Descriptor) bool { return f.Digest == d.Digest }) {
			found = append(found, d)
		}
	}
	has := "it is empty"
	if len(tags) > 0 {
		slices.Sort(tags)
		has = "it has " + list(slices.Compact(tags))
	}
	switch {
	case len(found) == 1:
		return &found[0], nil
	case len(found) == 0 && tag != "":
		return nil, fmt.Errorf("the layout has no %q: %s", tag, has)
	case len(found) == 0 && digest != (v1.Hash{}):
		return nil, fmt.Errorf("the layout has no %s: %s", digest, has)
	case len(found) == 0:
		return nil, errors.New("the layout has no image")
	case tag == "" && s.onePerPlatform(ctx, found):
		return nil, nil
	}
	return nil, fmt.Errorf("the layout has several images, choose one with oci:PATH:TAG or oci:PATH@DIGEST: %s", has)
}

// onePerPlatform reports whether the manifests are images for platforms that
// are all different.
func (s *Source) onePerPlatform(ctx context.Context, manifests []v1.Descriptor) bool {
	seen := map[string]bool{}
	for _, d := range manifests {
		if !d.MediaType.IsImage() {
			return false
		}
		p, err := s.platform(ctx, d)
		if err != nil || seen[p.String()] {
			return false
		}
		seen[p.String()] = true
	}
	return true
}

// list joins words for an error, the first of them if they are many.
func list(words []string) string {
	const most = 40
	if len(words) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words, ", ")
}
