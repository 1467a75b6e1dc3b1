package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TagState is what became of a tag.
type TagState struct {
	Tag    string
	Pushed bool // false: it had the digest already, and was not written
	// Current is set once the tag is known to have the digest: found so, or
	// read back. After a failure it tells the tags that are right.
	Current bool
}

// look asks for the digest of every tag, and reports whether one has that of
// the index already: then the children are there, too.
func (p *publication) look(ctx context.Context) (known bool, err error) {
	ids := []string{p.out.Digest.String()}
	if len(p.out.Tags) > 0 {
		ids = nil
		for _, t := range p.out.Tags {
			ids = append(ids, t.Tag)
		}
	}
	has := make([]bool, len(ids))
	g, ctx := p.group(ctx)
	for i, id := range ids {
		g.Go(func() error {
			h, err := p.head(ctx, "look at "+id, id)
			has[i] = h == p.out.Digest
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	for i := range p.out.Tags {
		p.out.Tags[i].Pushed, p.out.Tags[i].Current = !has[i], has[i]
	}
	return slices.Contains(has, true), nil
}

// writeTags writes the tags that did not have the digest, and were not written
// before.
func (p *publication) writeTags(ctx context.Context, written []bool) error {
	return p.eachTag(ctx, func(i int, t TagState) error {
		if !t.Pushed || written[i] {
			return nil
		}
		err := p.put(ctx, "tag "+t.Tag, t.Tag, p.media, p.raw)
		written[i] = err == nil
		return err
	})
}

// readBack checks what the tags that were written now give to those who pull
// them.
func (p *publication) readBack(ctx context.Context, written []bool) error {
	return p.eachTag(ctx, func(i int, t TagState) error {
		if !written[i] {
			return nil
		}
		err := p.expect(ctx, "read back tag "+t.Tag, p.out.Digest,
			"someone else moved it, or the registry stores other bytes than it was sent",
			func(ctx context.Context) (v1.Hash, error) { return p.s.read(ctx, t.Tag) })
		p.out.Tags[i].Current = err == nil
		return err
	})
}

// eachTag calls f for each tag. One that fails doesn't stop the others: what
// became of each is to be known.
func (p *publication) eachTag(ctx context.Context, f func(i int, t TagState) error) error {
	g, _ := p.group(ctx)
	failed := make([]error, len(p.out.Tags))
	for i, t := range p.out.Tags {
		g.Go(func() error {
			failed[i] = f(i, t)
			return nil
		})
	}
	_ = g.Wait() // they return none
	return errors.Join(failed...)
}

// mismatches is how often a manifest may read back as something else, or not
// at all, before that is an error: some registries answer reads from a replica.
const mismatches = 3

// expect reads until it gets the digest want; why explains another one.
func (p *publication) expect(ctx context.Context, what string, want v1.Hash, why string, read func(context.Context) (v1.Hash, error)) error {
	t := p.s.trial(what)
	for i := 1; ; i++ {
		var got v1.Hash
		err := t.do(ctx, func(ctx context.Context) (err error) {
			got, err = read(ctx)
			return err
		})
		if err == nil && got == want {
			return nil
		}
		if err != nil && !absent(err) {
			return p.s.failed(t, err)
		}
		if err == nil {
			err = fmt.Errorf("got %s, want %s: %s", got, want, why)
		}
		if i == mismatches || t.wait(ctx, t.host(err), "", brief(err), 0) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return p.s.failed(t, err)
		}
	}
}

// absent reports whether the registry says that there is no such manifest.
func absent(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound
}
