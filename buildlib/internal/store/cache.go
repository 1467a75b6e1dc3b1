package store

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Cache is the part of a Store that packages need which make blobs: it keeps blobs by
// digest and records by key between runs.
type Cache interface {
	// Blob returns the verified file of a blob, or an fs.ErrNotExist.
	Blob(h v1.Hash) (string, error)
	// Open opens a blob. If its content is wrong, the last Read returns a
	// disk.ErrContent, and the blob is dropped.
	Open(h v1.Hash) (io.ReadCloser, error)
	// Verify hashes a blob. If it is missing or corrupt, and then dropped, the
	// error is an fs.ErrNotExist.
	Verify(h v1.Hash) error
	// Put keeps the content of r and returns its digest and size. It must have
	// the digest want, unless that is zero.
	Put(want v1.Hash, r io.Reader) (v1.Hash, int64, error)
	// Load reads a record into v and reports whether it was there.
	Load(kind, key string, v any) bool
	// Save keeps v, which is a JSON object, as the record of that kind and
	// key, if it can.
	Save(kind, key string, v any)
}
