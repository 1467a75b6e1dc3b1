package rootfs

import (
	"sync"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// Builder makes layers. One serves a whole run, from any number of
// goroutines; it needs its Cache.
type Builder struct {
	// Cache keeps layers.
	Cache store.Cache
	// Compression is that of layers: gzip or zstd. Zero: gzip.
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
