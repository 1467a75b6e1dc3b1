package disk

import (
	"context"
	"errors"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Identity tells whether a file is still the one that was looked at: any write
// to it, its replacement, and a restored modification time all change the
// identity, because the kernel alone sets a file's change time. The zero
// value is nobody's identity.
type Identity struct {
	Device, Inode uint64
	Size          int64
	Modified      int64 // nanoseconds since 1970
	Changed       int64 // nanoseconds since 1970; 0 where the system has none
}

// Identify returns the identity of the file at path. A path that is not a
// regular file is an error. On systems without inodes and change times the
// identity is never equal to another, so callers look at the content.
func Identify(path string) (Identity, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Identity{}, err
	}
	if !info.Mode().IsRegular() {
		return Identity{}, &os.PathError{Op: "identify", Path: path, Err: os.ErrInvalid}
	}
	id := Identity{Size: info.Size(), Modified: info.ModTime().UnixNano()}
	identify(info, &id)
	return id, nil
}

// Same reports whether a and b are known to be the same, untouched file.
func (a Identity) Same(b Identity) bool { return a.Changed != 0 && a == b }

// SameFile reports whether a and b are one file with one size, whose times
// may have been set since.
func (a Identity) SameFile(b Identity) bool {
	return a.Changed != 0 && a.Device == b.Device && a.Inode == b.Inode && a.Size == b.Size
}

// Known is what a record says of a regular file: which one it was when its digest
// was taken.
type Known struct {
	Identity Identity
	Digest   v1.Hash
}

// Verify returns the identity of the file at path if its content is the known
// one, and otherwise an error that says how it differs. It reads no file that
// wasn't touched.
func (k Known) Verify(ctx context.Context, path string) (Identity, error) {
	id, err := Identify(path)
	if err != nil || id.Same(k.Identity) {
		return id, err
	}
	if id.Size != k.Identity.Size {
		return id, fmt.Errorf("%d bytes instead of %d", id.Size, k.Identity.Size)
	}
	digest, err := SHA256(ctx, path)
	if err == nil && digest != k.Digest {
		err = errors.New("another content")
	}
	return id, err
}
