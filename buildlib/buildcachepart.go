package buildlib

import (
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gocache"
)

// cachePart is an image of the cache: for what is compiled by one Go for one
// platform in one way, or for modules.
type cachePart struct {
	tag      string
	platform string
	spec     v1.Platform   // of the image
	without  string        // what go does where the part doesn't help
	ready    chan struct{} // closed when it is restored, as far as it will be

	// missing are the packs that have something which isn't here; unpack restores
	// one of them, and returns how many entries that were; update is the index's Update.
	missing func(x gocache.Index) []gocache.Pack
	unpack  func(ctx context.Context, pack gocache.Pack, layer io.Reader) (int, error)
	update  func(ctx context.Context, x gocache.Index, temp string) (gocache.Index, bool, error)

	mu    sync.Mutex
	lost  map[v1.Hash]bool // packs that were found to be of no use
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

// lose notes a pack that is of no use.
func (p *cachePart) lose(pack v1.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost[pack] = true
}
