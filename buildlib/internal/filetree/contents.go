package filetree

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Contents are files of a tree, by path without a leading slash. They are an fs.FS
// without symbolic links: a file is also at the paths of links to it.
type Contents map[string][]byte

// Limits for the files of a base that ReadContents reads, in bytes.
const (
	maxFile  = 64 << 20
	maxFiles = 512 << 20 // all together
)

// ReadContents returns the content of t's files below the folders, which are paths in
// the image. open(i) opens the compressed layer i of layers.
func (t *Tree) ReadContents(ctx context.Context, layers int, open func(i int) (io.ReadCloser, error), folders []string) (Contents, error) {
	var below []string // where links lead
	for _, f := range folders {
		if at, err := t.Follow(f); err == nil {
			below = append(below, at)
		}
	}
	found := map[string][]byte{}
	total := int64(0)
	for i := range layers {
		err := entries(ctx, open, i, func(h *tar.Header, content io.Reader) error {
			at, err := t.Resolve(path.Clean("/" + h.Name))
			if err != nil || !slices.ContainsFunc(below, func(f string) bool { return at == f || strings.HasPrefix(at, f+"/") }) {
				return nil
			}
			if n, ok := t.Node(at); !ok || n.Type != tar.TypeReg {
				return nil
			}
			switch h.Typeflag {
			case tar.TypeLink:
				target, err := t.Resolve(path.Clean("/" + h.Linkname))
				if err != nil {
					return err
				}
				delete(found, at)
				if data, ok := found[target]; ok { // as it is in this layer
					found[at] = data
				}
			case tar.TypeReg:
				if total += h.Size - int64(len(found[at])); h.Size > maxFile || total > maxFiles {
					return fmt.Errorf("%s: %d bytes are too many for a file that says what is installed", at, h.Size)
				}
				if found[at], err = io.ReadAll(content); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, &LayerError{i, err}
		}
	}
	c := Contents{}
	for p, data := range found {
		c[p[1:]] = data
	}
	t.alias(c, found, folders)
	return c, nil
}

// alias adds files under the paths by which programs reach them through links.
func (t *Tree) alias(c Contents, found map[string][]byte, folders []string) {
	for _, f := range folders {
		at, err := t.Follow(f)
		if err != nil {
			continue
		}
		for p, data := range found {
			if rel, ok := strings.CutPrefix(p, at); ok {
				c[strings.TrimPrefix(f+rel, "/")] = data
			}
		}
		dir := t.root.find(at)
		if dir == nil {
			continue
		}
		for name, kid := range dir.kids {
			if kid.typ != tar.TypeSymlink {
				continue
			}
			if to, err := t.Follow(path.Join(at, name)); err == nil && found[to] != nil {
				c[strings.TrimPrefix(path.Join(f, name), "/")] = found[to]
			}
		}
	}
}

// Open implements fs.FS.
func (c Contents) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if data, ok := c[name]; ok {
		return &openFile{Reader: bytes.NewReader(data), info: info{path.Base(name), int64(len(data)), false}}, nil
	}
	kids := map[string]info{}
	for p, data := range c {
		rel, ok := strings.CutPrefix(p, strings.TrimPrefix(name+"/", "./"))
		if !ok {
			continue
		}
		kid, _, deeper := strings.Cut(rel, "/")
		kids[kid] = info{kid, int64(len(data)), deeper}
	}
	if len(kids) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f := &openFile{Reader: bytes.NewReader(nil), info: info{path.Base(name), 0, true}}
	for _, k := range kids {
		f.kids = append(f.kids, k)
	}
	slices.SortFunc(f.kids, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return f, nil
}

type openFile struct {
	*bytes.Reader
	info info
	kids []fs.DirEntry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// ReadDir implements fs.ReadDirFile. It returns all entries at once.
func (f *openFile) ReadDir(int) ([]fs.DirEntry, error) {
	kids := f.kids
	f.kids = nil
	return kids, nil
}

// info is a file's or folder's fs.FileInfo and fs.DirEntry.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) IsDir() bool                { return i.dir }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
