package filetree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Unpack applies layers as Scan does, and writes the result into the empty folder dir,
// without devices and pipes. own sets the owner and extended attributes of a path
// that was written. If it is nil, all belongs to the current user, who may read all
// files and change all folders.
func Unpack(ctx context.Context, diffIDs []v1.Hash, open func(i int) (io.ReadCloser, error), dir string, own func(path string, n Node) error) (*Tree, error) {
	t, err := Scan(ctx, diffIDs, open)
	if err != nil {
		return nil, err
	}
	u := unpacking{own: own, files: map[place][]target{}}
	// Folders get their modes last: a read-only folder has files, too.
	if err := u.plant(t.root, dir); err != nil {
		return nil, err
	}
	for i := range diffIDs {
		if err := u.layer(ctx, i, open); err != nil {
			return nil, &LayerError{i, err}
		}
	}
	for i := len(u.folders) - 1; i >= 0; i-- {
		f := u.folders[i]
		if err := u.finish(f.path, f.node()); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// unpacking is a tree on its way to a folder.
type unpacking struct {
	own     func(path string, n Node) error
	files   map[place][]target // the paths of each regular file
	folders []target           // parents first
	written int64
}

type target struct {
	path string
	*entry
}

// plant makes the folders and symbolic links below e, and collects its files. It
// follows no link: every folder in a path was made here.
func (u *unpacking) plant(e *entry, at string) error {
	u.folders = append(u.folders, target{at, e})
	for name, kid := range e.kids {
		p := filepath.Join(at, name)
		var err error
		switch kid.typ {
		case tar.TypeDir:
			if err = os.Mkdir(p, 0o700); err == nil {
				err = u.plant(kid, p)
			}
		case tar.TypeSymlink:
			if err = os.Symlink(kid.link, p); err == nil && u.own != nil {
				err = u.own(p, kid.node())
			}
		case tar.TypeReg:
			u.files[kid.at] = append(u.files[kid.at], target{p, kid})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// layer writes the files whose content is in the layer.
func (u *unpacking) layer(ctx context.Context, i int, open func(i int) (io.ReadCloser, error)) error {
	header := int32(0)
	return entries(ctx, open, i, func(h *tar.Header, content io.Reader) error {
		header++
		paths := u.files[place{header, int16(i) + 1}]
		if len(paths) == 0 {
			return nil
		}
		if u.written += h.Size; u.written > MaxContent { // sparse files are larger than their layer
			return fmt.Errorf("its files are more than %d bytes", int64(MaxContent))
		}
		return u.file(paths, h, content)
	})
}

// file writes a regular file, and links its other paths to it.
func (u *unpacking) file(paths []target, h *tar.Header, content io.Reader) error {
	first := paths[0]
	f, err := os.OpenFile(first.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	n := first.node()
	n.Xattrs = map[string]string{}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, XattrPrefix); ok {
			n.Xattrs[name] = value
		}
	}
	if err := u.finish(first.path, n); err != nil {
		return err
	}
	for _, other := range paths[1:] {
		if err := os.Link(first.path, other.path); err != nil {
			return err
		}
	}
	return nil
}

// finish sets owner and attributes and then the mode, because a change of owner clears
// bits of the mode.
func (u *unpacking) finish(at string, n Node) error {
	mode := (&tar.Header{Mode: n.Mode}).FileInfo().Mode()
	switch {
	case u.own != nil:
		if err := u.own(at, n); err != nil {
			return err
		}
	case n.Type == tar.TypeDir:
		mode |= 0o700
	default:
		mode |= 0o400
	}
	return os.Chmod(at, mode)
}
