package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// blob is what a child's manifest refers to.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
	from   *name.Repository // where it was pulled from, if that is known
}

// blobsOf lists the blobs of an image, layers first. Layers that may not be
// distributed are left where they are (OCI image spec, "Non-Distributable
// Layers").
func blobsOf(img v1.Image) ([]blob, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return nil, err
	}
	var all []blob
	for _, l := range append(layers, config) {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		if !mt.IsDistributable() {
			continue
		}
		b := blob{open: l.Compressed}
		if b.digest, err = l.Digest(); err != nil {
			return nil, err
		}
		if b.size, err = l.Size(); err != nil {
			return nil, err
		}
		if m, ok := l.(*remote.MountableLayer); ok && m.Reference != nil {
			from := m.Reference.Context()
			b.from = &from
		}
		all = append(all, b)
	}
	return all, nil
}

// pushBlobs sees to it that the repository has the blobs. In round 0 each is
// looked at once, whichever child asks; in later ones the registry is asked
// again, and in round 2, as it doesn't know what it has, not believed.
func (p *publication) pushBlobs(ctx context.Context, blobs []blob, round int) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range blobs {
		g.Go(func() error {
			return p.blobs.do(ctx, fmt.Sprint(b.digest, round), func() error { return p.pushBlob(ctx, b, round == 2) })
		})
	}
	return g.Wait()
}

func (p *publication) pushBlob(ctx context.Context, b blob, force bool) error {
	at := place{p.s.repo.RegistryStr(), b.digest}
	done, err := p.c.turn(ctx, at)
	if err != nil {
		return err
	}
	defer done()
	var from *name.Repository
	if !force {
		from = p.mountFrom(ctx, at, b)
	}
	t := p.s.trial(fmt.Sprintf("push blob %s (%d bytes)", b.digest, b.size))
	if err := t.acquire(ctx); err != nil {
		return err
	}
	defer t.release()
	wanted := false
	push := func(ctx context.Context) error {
		if !force {
			if has, err := p.s.hasBlob(ctx, b.digest); err != nil {
				return err
			} else if has {
				p.count(func(o *Published) { o.Existing++ })
				return nil
			}
		}
		to, err := p.s.begin(ctx, b.digest, from)
		if err != nil {
			return err
		}
		if to == nil {
			p.count(func(o *Published) { o.Mounted++ })
			return nil
		}
		if !wanted {
			wanted = true
			p.count(func(*Published) { p.tell(0, b.size) })
		}
		var last *counted
		err = p.s.send(ctx, to, b, func() (io.ReadCloser, error) {
			last.undo() // a body taken anew starts over
			rc, err := b.open()
			if err != nil {
				return nil, err
			}
			last = &counted{ReadCloser: rc, p: p}
			return last, nil
		})
		if err != nil {
			last.undo()
			return err
		}
		p.count(func(o *Published) { o.Uploaded++; o.Bytes += b.size })
		return nil
	}
	err = t.do(ctx, push)
	if errors.Is(err, disk.ErrContent) {
		err = t.do(ctx, push) // the cache has dropped what was corrupt
	}
	if err != nil {
		return p.s.failed(t, err)
	}
	p.c.setHome(at, p.s.repo)
	return nil
}

// mountFrom returns a repository of the same registry to mount the blob from:
// that of the base, or one that this process has pushed it to. nil: there is
// none, or no permission to read it.
func (p *publication) mountFrom(ctx context.Context, at place, b blob) *name.Repository {
	from := b.from
	if home, ok := p.c.home(at); ok {
		from = &home
	}
	if from == nil || from.RegistryStr() != at.registry || from.RepositoryStr() == p.s.repo.RepositoryStr() {
		return nil
	}
	if err := p.s.authorize(ctx, *from); err != nil {
		p.c.wire.log("%s: not mounting from %s: %v", Written(p.s.repo), Written(*from), err)
		return nil
	}
	return from
}

// counted is a blob being sent; what is read of it counts as sent.
type counted struct {
	io.ReadCloser
	p    *publication
	sent int64
	dead bool // net/http may read on for a moment after the request failed
}

func (c *counted) Read(buf []byte) (int, error) {
	n, err := c.ReadCloser.Read(buf)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if n > 0 && !c.dead {
		c.sent += int64(n)
		c.p.tell(int64(n), 0)
	}
	return n, err
}

// undo takes back what was counted. A nil body has nothing to take back.
func (c *counted) undo() {
	if c == nil {
		return
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if !c.dead {
		c.dead = true
		c.p.tell(-c.sent, 0)
	}
}

// keyed does things once by key; those who come later wait for the first. Its
// zero value has done nothing.
type keyed struct {
	mu    sync.Mutex
	calls map[string]*call
}

type call struct {
	done chan struct{}
	err  error
}

func (k *keyed) do(ctx context.Context, key string, f func() error) error {
	k.mu.Lock()
	c, ok := k.calls[key]
	if !ok {
		if k.calls == nil {
			k.calls = map[string]*call{}
		}
		c = &call{done: make(chan struct{})}
		k.calls[key] = c
		k.mu.Unlock()
		c.err = f()
		close(c.done)
		return c.err
	}
	k.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
