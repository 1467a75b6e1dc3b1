package layout

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// maxEntries is how many files the tar of a layout may have, and how many blobs its
// manifests may name.
const maxEntries = 100_000

// tarFile is a layout's tar, read from front to back.
type tarFile struct {
	*os.File
	ctx        context.Context
	tar        *tar.Reader
	compressed bool
	entries    int
}

func openTar(ctx context.Context, path string) (*tarFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &tarFile{File: f, ctx: ctx}
	var magic [2]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return nil, errors.Join(errors.New("neither a folder nor a tar"), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// archive/tar doesn't read ahead: after a header, f is at the content.
	var in io.Reader = f
	if t.compressed = magic == [2]byte{0x1f, 0x8b}; t.compressed {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("gzip: %w", err), f.Close())
		}
		in = disk.Reader(ctx, z)
	}
	t.tar = tar.NewReader(in)
	return t, nil
}

// next returns the name and size of the next regular file, or io.EOF.
func (t *tarFile) next() (string, int64, error) {
	for {
		h, err := t.tar.Next()
		if errors.Is(err, io.EOF) {
			return "", 0, io.EOF
		}
		if t.entries == 0 && errors.Is(err, tar.ErrHeader) {
			return "", 0, errors.New("neither a folder nor a tar")
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return "", 0, fmt.Errorf("not a valid tar: %w", err)
		}
		if t.entries++; t.entries > maxEntries {
			return "", 0, fmt.Errorf("more than %d files", maxEntries)
		}
		if t.ctx.Err() != nil {
			return "", 0, context.Cause(t.ctx)
		}
		if h.Typeflag == tar.TypeReg {
			return path.Clean(h.Name), h.Size, nil
		}
	}
}

// readTar reads the layout's own files, and finds its blobs or puts them into
// the cache.
func (l *Reader) readTar(ctx context.Context, cache store.Cache) error {
	t, err := openTar(ctx, l.path)
	if err != nil {
		return err
	}
	defer t.Close()
	l.compressed = t.compressed
	for {
		name, size, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case name == "oci-layout", name == "index.json", name == "manifest.json":
			if l.small[name], err = readAll(t.tar, name, maxFile); err != nil {
				return err
			}
		case strings.HasPrefix(name, "blobs/sha256/") && !t.compressed:
			at, err := t.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			l.blobs[name] = section{at, size}
		}
	}
	if t.compressed {
		return l.keep(ctx, cache)
	}
	return nil
}

// keep puts the blobs of a compressed tar that its manifests name into the cache, and
// skips all else, which may be huge. Manifests may come after what they name, so it
// reads the tar until it finds no more; if the cache has all, not at all.
func (l *Reader) keep(ctx context.Context, cache store.Cache) error {
	named := naming{ctx: ctx, cache: cache, missing: map[string]v1.Descriptor{}, known: map[v1.Hash]bool{}}
	// Its reader returns a better error.
	if err := named.add(l.small["index.json"]); err != nil {
		return context.Cause(ctx)
	}
	for progress := true; progress && len(named.missing) > 0; {
		progress = false
		t, err := openTar(ctx, l.path)
		if err != nil {
			return err
		}
		for len(named.missing) > 0 {
			name, _, err := t.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if d, ok := named.missing[name]; ok && err == nil {
				if _, _, err = cache.Put(d.Digest, t.tar); err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				} else {
					progress = true
					delete(named.missing, name)
					err = named.follow(d)
				}
			}
			if err != nil {
				return errors.Join(err, t.Close())
			}
		}
		if err := t.Close(); err != nil {
			return err
		}
	}
	return nil
}

// naming collects the blobs that manifests name.
type naming struct {
	ctx     context.Context
	cache   store.Cache
	missing map[string]v1.Descriptor // those that the cache lacks, by their name in the layout
	known   map[v1.Hash]bool         // all
}

// add adds what the manifest or index raw names.
func (n *naming) add(raw []byte) error {
	var m struct {
		Manifests []v1.Descriptor `json:"manifests"`
		Config    *v1.Descriptor  `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	all := append(m.Manifests, m.Layers...)
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	for _, d := range all {
		if n.ctx.Err() != nil {
			return context.Cause(n.ctx)
		}
		if n.known[d.Digest] || d.Digest.Algorithm != "sha256" {
			continue
		}
		if len(n.known) == maxEntries {
			return fmt.Errorf("more than %d blobs", maxEntries)
		}
		n.known[d.Digest] = true
		if _, err := n.cache.Blob(d.Digest); err != nil {
			n.missing[blobName(d.Digest)] = d
		} else if err := n.follow(d); err != nil {
			return err
		}
	}
	return nil
}

// follow adds what a cached blob names, if it is a manifest or an index.
func (n *naming) follow(d v1.Descriptor) error {
	if !d.MediaType.IsIndex() && !d.MediaType.IsImage() || d.Size > maxFile {
		return nil
	}
	f, err := n.cache.Open(d.Digest)
	if err != nil {
		return err
	}
	raw, err := readAll(f, d.Digest.String(), maxFile)
	f.Close()
	if err == nil && !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return nil // not a manifest: its reader returns the error
	}
	if err == nil {
		err = n.add(raw)
	}
	return err
}

// openCompressed opens a file of a compressed tar. It is slow, and needed only if the
// cache has lost the file.
func (l *Reader) openCompressed(ctx context.Context, name string) (io.ReadCloser, error) {
	t, err := openTar(ctx, l.path)
	if err != nil {
		return nil, err
	}
	for {
		found, _, err := t.next()
		if errors.Is(err, io.EOF) {
			err = errors.New("the layout doesn't have it")
		}
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		if found == name {
			return readCloser{t.tar, t}, nil
		}
	}
}
