package buildlib

import (
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gocache"
)

// cachePart is an image of the cache: packages that one Go compiled for one platform
// with the same settings, or modules.
type cachePart struct {
	tag      string
	platform string
	spec     v1.Platform   // of the image
	without  string        // what go does without the part
	ready    chan struct{} // closed when it is restored, as far as that is possible

	// missing lists the packs with entries that this machine lacks; unpack restores a
	// pack, and returns the number of its entries; update is as gocache.Index.Update.
	missing func(x gocache.Index) []gocache.Pack
	unpack  func(ctx context.Context, pack gocache.Pack, layer io.Reader) (int, error)
	update  func(ctx context.Context, x gocache.Index, temp string) (gocache.Index, bool, error)

	mu    sync.Mutex
	lost  map[v1.Hash]bool // packs that are damaged or gone
	calls int              // of go build that have yet to end
	used  []gocache.Entry
}

func newCachePart(tag, without string) *cachePart {
	return &cachePart{tag: tag, without: without, ready: make(chan struct{}), lost: map[v1.Hash]bool{}}
}

// await waits until the part is restored.
func (p *cachePart) await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lose notes that a pack is damaged or gone.
func (p *cachePart) lose(pack v1.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost[pack] = true
}
