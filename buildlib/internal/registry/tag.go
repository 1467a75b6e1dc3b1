package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// TagImage makes the tags point to the manifest of that digest, which the repository
// has, and reads them back. Tags that point there already are not written. h.Ready
// is called before the first is written.
func (c *Client) TagImage(ctx context.Context, repo name.Repository, digest v1.Hash, tags []string, h Hooks) (Published, error) {
	defer c.wire.announce(repo.RegistryStr())()
	u, err := c.upload(ctx, repo, h)
	if err != nil {
		return Published{}, err
	}
	t := tagging{upload: u, written: make([]bool, len(tags))}
	t.out.Digest = digest
	for _, tag := range tags {
		t.out.Tags = append(t.out.Tags, TagState{Tag: tag, Pushed: true})
	}
	if _, err = t.look(ctx); err != nil || !slices.ContainsFunc(t.out.Tags, func(s TagState) bool { return s.Pushed }) {
		return t.out, err
	}
	t.index, err = t.await(ctx, "read image "+digest.String(), digest.String(), digest, "the registry stores other bytes than it was sent")
	if err == nil {
		err = call(ctx, u.hooks.Test)
	}
	if err == nil {
		err = call(ctx, u.hooks.Ready)
	}
	if err == nil {
		err = t.write(ctx)
	}
	return t.out, errors.Join(err, t.readBack(ctx))
}

// tagging is the tags of an index, or of one image, whose states are in upload.out.
type tagging struct {
	*upload
	index   Manifest // what the tags lead to
	written []bool
}

// group returns a group for small requests, which limits how many run at once.
func (u *upload) group(ctx context.Context) (*errgroup.Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * u.o.Jobs)
	return g, ctx
}

// look asks for the digest of every tag, and reports whether one already points to
// the index: then the children are there, too. Without tags, it asks for the
// index itself.
func (t *tagging) look(ctx context.Context) (known bool, err error) {
	ids := []string{t.out.Digest.String()}
	if len(t.out.Tags) > 0 {
		ids = nil
		for _, tag := range t.out.Tags {
			ids = append(ids, tag.Tag)
		}
	}
	has := make([]bool, len(ids))
	g, ctx := t.group(ctx)
	for i, id := range ids {
		g.Go(func() error {
			h, err := t.head(ctx, id, id)
			has[i] = h == t.out.Digest
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	for i := range t.out.Tags {
		t.out.Tags[i].Pushed, t.out.Tags[i].Current = !has[i], has[i]
	}
	return slices.Contains(has, true), nil
}

// write writes the tags that did not have the digest and were not written before.
func (t *tagging) write(ctx context.Context) error {
	return t.each(ctx, func(i int, tag TagState) error {
		if !tag.Pushed || t.written[i] {
			return nil
		}
		err := t.put(ctx, "tag "+tag.Tag, tag.Tag, t.index)
		t.written[i] = err == nil
		return err
	})
}

// readBack checks that those who pull the written tags now get the index.
func (t *tagging) readBack(ctx context.Context) error {
	return t.each(ctx, func(i int, tag TagState) error {
		if !t.written[i] {
			return nil
		}
		_, err := t.await(ctx, "read back tag "+tag.Tag, tag.Tag, t.out.Digest,
			"someone else moved it, or the registry stores other bytes than it was sent")
		t.out.Tags[i].Current = err == nil
		return err
	})
}

// each calls f for every tag. An error doesn't stop the others, so that the outcome
// of each is known.
func (t *tagging) each(ctx context.Context, f func(i int, tag TagState) error) error {
	g, _ := t.group(ctx)
	failed := make([]error, len(t.out.Tags))
	for i, tag := range t.out.Tags {
		g.Go(func() error {
			failed[i] = f(i, tag)
			return nil
		})
	}
	_ = g.Wait() // they return none
	return errors.Join(failed...)
}
