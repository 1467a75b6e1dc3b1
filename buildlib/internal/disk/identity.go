package disk

import (
	"context"
	"errors"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Identity tells whether a file has changed. Any write to it changes its identity, and
// so does replacing it or restoring its modification time, because only the kernel
// sets a file's change time. No file has the zero value.
type Identity struct {
	Device, Inode uint64
	Size          int64
	Modified      int64 // nanoseconds since 1970
	Changed       int64 // nanoseconds since 1970; 0 where the system has none
}

// Identify returns the identity of the regular file at path. On systems without inodes
// and change times it is never the Same as another, so callers look at the content.
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

// SameFile reports whether a and b are the same file with the same size. Its times may
// differ.
func (a Identity) SameFile(b Identity) bool {
	return a.Changed != 0 && a.Device == b.Device && a.Inode == b.Inode && a.Size == b.Size
}

// Known is a regular file in a record: its digest, and its identity when that was
// computed.
type Known struct {
	Identity Identity
	Digest   v1.Hash
}

// Verify returns the identity of the file at path, and an error that says how its
// content differs, if it does. It doesn't read a file that wasn't touched.
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
		err = errors.New("different content")
	}
	return id, err
}
