package store

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Cache is what a Store does for those who make blobs: it keeps blobs by digest
// and records by key between runs.
type Cache interface {
	// Blob returns the file of a blob whose content was verified, or an
	// error that is fs.ErrNotExist.
	Blob(h v1.Hash) (string, error)
	// Open opens a blob. Bytes that turn out to be others are an error at
	// their end that is a disk.ErrContent; the blob is not there then.
	Open(h v1.Hash) (io.ReadCloser, error)
	// Verify reads all of a blob. One that is corrupt is dropped, and an
	// fs.ErrNotExist.
	Verify(h v1.Hash) error
	// Put keeps what r holds and returns its digest and size; a want that
	// is not zero is the digest it must have.
	Put(want v1.Hash, r io.Reader) (v1.Hash, int64, error)
	// Load reads a record into v and reports whether it was there.
	Load(kind, key string, v any) bool
	// Save keeps v, which is a JSON object, as the record of that kind and
	// key, if it can.
	Save(kind, key string, v any)
}
