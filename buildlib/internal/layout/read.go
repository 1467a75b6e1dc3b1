package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// RefName is the annotation that tags a descriptor of a layout's index.json (OCI
// image spec, image-layout.md, "index.json file").
const RefName = "org.opencontainers.image.ref.name"

// maxFile bounds the files of a layout that are read whole, in bytes: index.json,
// manifests and configs.
const maxFile = 4 << 20

// Reader reads a layout, in a folder or a tar. It doesn't verify what it reads.
type Reader struct {
	path       string
	blobs      map[string]section // of a plain tar, by name; nil: a folder
	small      map[string][]byte  // index.json and the like of a tar
	compressed bool               // whether the tar is compressed by gzip
}

// section is where the content of a file is in a tar.
type section struct{ offset, size int64 }

func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// Blob opens the blob h.
func (l *Reader) Blob(ctx context.Context, h v1.Hash) (io.ReadCloser, error) {
	if l.blobs == nil {
		f, err := openInside(l.path, blobName(h))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("the layout doesn't have it")
		}
		if err != nil {
			return nil, err
		}
		return readCloser{disk.Reader(ctx, f), f}, nil
	}
	if l.compressed {
		return l.openCompressed(ctx, blobName(h))
	}
	at, ok := l.blobs[blobName(h)]
	if !ok {
		return nil, errors.New("the layout doesn't have it")
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return readCloser{disk.Reader(ctx, io.NewSectionReader(f, at.offset, at.size)), f}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// openInside opens a regular file of the folder dir. It follows no link out of dir, and
// opens nothing that would block or never end.
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

// Open opens the layout in the folder or tar p. The blobs of a compressed tar, which
// can only be read from front to back, are put into the cache at once.
func Open(ctx context.Context, cache store.Cache, p string) (*Reader, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	l := &Reader{path: p}
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

// Index returns the layout's index.json.
func (l *Reader) Index() ([]byte, error) { return l.file("index.json") }

// file returns one of the layout's own files.
func (l *Reader) file(name string) ([]byte, error) {
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
	return readAll(f, name, maxFile)
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
