package rootfs

import (
	"sync"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// Builder makes layers. A run needs one, which any number of goroutines may use.
type Builder struct {
	// Cache keeps layers; it must be set.
	Cache store.Cache
	// Compression of layers is gzip or zstd. Empty: gzip.
	Compression string

	layers   store.Memo[*layer] // by key
	contents sync.Map           // host path to content
	zips     sync.Map           // host path to func() ([]change, error)

	once sync.Once
	gz   *compressor
}

func (b *Builder) compressor() *compressor {
	b.once.Do(func() { b.gz = newCompressor() })
	return b.gz
}
