// Package disk is what every stage needs of a file system: files that appear
// whole or not at all, records that notice damage, links that fall back to
// copies, folders that aren't symbolic links, locks that end with their process,
// and identities that tell an untouched file from an edited one without reading
// it.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Write makes path a file with the content that fill writes. It appears whole or not
// at all: a temporary file in tmp, which must be on path's file system, is renamed.
// Missing parents of path are made.
func Write(path, tmp string, perm os.FileMode, fill func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(tmp, "write-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return Rename(f.Name(), path)
}

// Rename moves the file from to to, replacing a file or link there. If there is a
// folder, the error says so, which the system's ("file exists") doesn't.
func Rename(from, to string) error {
	err := os.Rename(from, to)
	if err != nil {
		if info, statErr := os.Lstat(to); statErr == nil && info.IsDir() {
			return fmt.Errorf("%s is a folder where a file of multimage's should be: move it away", to)
		}
	}
	return err
}

// WriteBytes writes data as Write does.
func WriteBytes(path, tmp string, perm os.FileMode, data []byte) error {
	return Write(path, tmp, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// ErrContent is the error of a file whose content has changed.
var ErrContent = errors.New("its content has changed")

// Link makes dst a hard link to src, replacing dst in one step. If the file system
// can't (another device, no support), dst becomes a copy. A copy must have the digest
// want, unless that is zero: otherwise the error is an ErrContent, and dst stays as
// it was. tmp must be on dst's file system.
func Link(ctx context.Context, src, dst, tmp string, want v1.Hash) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	// rename(2) of two links to the same file does nothing, and both stay.
	if Same(src, dst) {
		return nil
	}
	name, err := tempName(tmp)
	if err != nil {
		return err
	}
	if err := os.Link(src, name); err == nil {
		if err := Rename(name, dst); err != nil {
			os.Remove(name)
			return err
		}
		return nil
	}
	return copyFile(ctx, src, dst, tmp, want)
}

// Same reports whether a and b are hard links to the same file.
func Same(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

// tempName returns an unused name in tmp for a link.
func tempName(tmp string) (string, error) {
	f, err := os.CreateTemp(tmp, "link-*")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Close(), os.Remove(f.Name()))
}

func copyFile(ctx context.Context, src, dst, tmp string, want v1.Hash) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := Write(dst, tmp, info.Mode().Perm(), func(w io.Writer) error {
		if want == (v1.Hash{}) {
			_, err := io.Copy(w, Reader(ctx, in))
			return err
		}
		got, _, err := v1.SHA256(io.TeeReader(Reader(ctx, in), w))
		if err == nil && got != want {
			err = ErrContent
		}
		return err
	}); err != nil {
		return fmt.Errorf("copy %s: %w", src, err)
	}
	return nil
}

// SHA256 returns the digest of the file's content. It ends with ctx.
func SHA256(ctx context.Context, path string) (v1.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	h, _, err := v1.SHA256(Reader(ctx, f))
	return h, err
}

// Reader reads from r until ctx ends. Then its error is the context's cause.
func Reader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
