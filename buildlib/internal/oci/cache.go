package oci

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Cache keeps blobs by digest and records by key between runs.
type Cache interface {
	// Blob returns the file of a blob whose content was verified, or an
	// error that is fs.ErrNotExist.
	Blob(h v1.Hash) (string, error)
	// Put keeps what r holds and returns its digest and size; a want that
	// is not zero is the digest it must have.
	Put(want v1.Hash, r io.Reader) (v1.Hash, int64, error)
	// Load reads a record into v and reports whether it was there.
	Load(kind, key string, v any) bool
	// Save keeps v as the record of that kind and key.
	Save(kind, key string, v any) error
}
