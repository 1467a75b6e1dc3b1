// Package disk is what every stage needs of a file system: files that appear
// whole or not at all, links that fall back to copies, locks that die with
// their process, and the identity that tells an untouched file from an edited
// one without reading it.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Write makes path appear with the content that fill writes, whole or not at
// all: the bytes go to a temporary file in tmp, which must be on path's file
// system, and are renamed into place. Missing parents of path are made.
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
	return os.Rename(f.Name(), path)
}

// WriteBytes is Write of data.
func WriteBytes(path, tmp string, perm os.FileMode, data []byte) error {
	return Write(path, tmp, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Link makes dst the same file as src, replacing dst in one step. Where the
// file system cannot link (another device, no support), dst becomes a copy.
// tmp must be on dst's file system.
func Link(src, dst, tmp string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	// rename(2) of two links to one file does nothing and leaves both, so an
	// existing link is recognized first.
	if Same(src, dst) {
		return nil
	}
	name, err := tempName(tmp)
	if err != nil {
		return err
	}
	if err := os.Link(src, name); err == nil {
		if err := os.Rename(name, dst); err != nil {
			os.Remove(name)
			return err
		}
		return nil
	}
	return copyFile(src, dst, tmp)
}

// Same reports whether a and b are links to one file.
func Same(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

// tempName reserves a name below tmp and frees it for a link to take.
func tempName(tmp string) (string, error) {
	f, err := os.CreateTemp(tmp, "link-*")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Close(), os.Remove(f.Name()))
}

func copyFile(src, dst, tmp string) error {
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
		_, err := io.Copy(w, in)
		return err
	}); err != nil {
		return fmt.Errorf("copy %s: %w", src, err)
	}
	return nil
}

// SHA256 returns the digest of the file's content.
func SHA256(path string) (v1.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	h, _, err := v1.SHA256(f)
	return h, err
}
