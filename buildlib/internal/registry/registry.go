package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// Event tells how far a publication is.
type Event struct {
	// Sent and Total count bytes of blobs: those that have gone out and
	// those that the registry was found to lack so far. Sent falls when an
	// upload starts over.
	Sent, Total int64
}

// Published tells what a publication did.
type Published struct {
	Digest v1.Hash    // of the index
	Tags   []TagState // in the order asked for
	// Uploaded, Mounted and Existing count blobs of the children that had
	// to be pushed; those of children that were there already are not
	// looked at.
	Uploaded, Mounted, Existing int
	Bytes                       int64 // of the blobs uploaded
	Children                    int   // manifests pushed
}

// Publish makes every tag of the repository point to the index. Children go
// first, by digest, then the index by digest, then the tags, which are then
// read back. What the registry has is not sent again; if all tags have the
// digest, nothing else is looked at. Without tags the index is published by
// digest alone. progress may be nil; it is called from one goroutine at a
// time. With an error, what is returned tells how far it came.
func (c *Client) Publish(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, progress func(Event)) (Published, error) {
	return c.publish(ctx, repo, idx, tags, progress, (*publication).run)
}

// PublishIf is Publish that asks check before anything is pushed, and again
// before the tags are written, when all else is there. What it returns is the
// error then, and no tag is written. If nothing is to be done, nobody asks.
func (c *Client) PublishIf(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, check func(context.Context) error) (Published, error) {
	return c.publish(ctx, repo, idx, tags, nil, func(p *publication, ctx context.Context) error {
		p.ready = check
		return p.run(ctx)
	})
}

// publish does what run says.
func (c *Client) publish(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, progress func(Event), run func(*publication, context.Context) error) (Published, error) {
	p, err := newPublication(c, repo, idx, tags, progress)
	if err != nil {
		return Published{}, fmt.Errorf("%s: %w", Written(repo), err)
	}
	defer c.wire.begin(repo.RegistryStr())()
	if p.s, err = c.session(ctx, repo); err == nil {
		err = run(p, ctx)
	}
	return p.out, err
}

// publication is one index on its way to one repository.
type publication struct {
	c        *Client
	s        *session
	idx      v1.ImageIndex
	raw      []byte
	media    types.MediaType
	children []v1.Descriptor
	progress func(Event)
	// elsewhere is set if the children are there already, or nobody has them.
	elsewhere bool
	check     Check // what Join was given; may be nil

	ready func(context.Context) error // what PublishIf was given; nil: nobody asks

	blobs keyed // each blob is uploaded once

	mu    sync.Mutex
	event Event
	out   Published
}

func newPublication(c *Client, repo name.Repository, idx v1.ImageIndex, tags []string, progress func(Event)) (*publication, error) {
	p := &publication{c: c, idx: idx, progress: progress}
	var err error
	if p.raw, err = idx.RawManifest(); err != nil {
		return nil, err
	}
	if p.out.Digest, _, err = v1.SHA256(bytes.NewReader(p.raw)); err != nil {
		return nil, err
	}
	if p.media, err = idx.MediaType(); err != nil {
		return nil, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(p.raw))
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", p.out.Digest, err)
	}
	for _, d := range m.Manifests {
		if !d.MediaType.IsImage() {
			return nil, fmt.Errorf("index %s: child %s is a %s, not an image", p.out.Digest, d.Digest, d.MediaType)
		}
		if !slices.ContainsFunc(p.children, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			p.children = append(p.children, d)
		}
	}
	for _, tag := range tags {
		if _, err := name.NewTag(repo.Name() + ":" + tag); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(p.out.Tags, func(t TagState) bool { return t.Tag == tag }) {
			p.out.Tags = append(p.out.Tags, TagState{Tag: tag, Pushed: true})
		}
	}
	return p, nil
}

func (p *publication) run(ctx context.Context) error {
	known, err := p.look(ctx)
	if err != nil {
		return err
	}
	missing := slices.ContainsFunc(p.out.Tags, func(t TagState) bool { return t.Pushed })
	// What others pushed is looked for even so: a registry may have collected
	// the images of an index that tags lead to.
	if known && !missing && !p.elsewhere {
		return nil
	}
	if p.ready != nil {
		if err := p.ready(ctx); err != nil {
			return err
		}
	}
	written := make([]bool, len(p.out.Tags))
	t := p.s.trial("push")
	for round := 0; ; round++ {
		if !known || p.elsewhere || round > 0 {
			err = p.seeToChildren(ctx, round > 0)
		}
		if err == nil && (!known || round > 0) {
			err = p.put(ctx, "index "+p.out.Digest.String(), p.out.Digest.String(), p.media, p.raw)
		}
		if err == nil && p.ready != nil {
			err = p.ready(ctx)
		}
		if err == nil {
			err = p.writeTags(ctx, written)
		}
		// The registry lost, or has yet to find, what it said it has.
		if err == nil || !unknown(err) {
			break
		}
		if err = t.again(ctx, err); err != nil {
			break
		}
	}
	return errors.Join(err, p.readBack(ctx, written))
}

func (p *publication) group(ctx context.Context) (*errgroup.Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * p.c.o.Jobs) // of small requests
	return g, ctx
}

// head is session.head, with retries.
func (p *publication) head(ctx context.Context, what, id string) (v1.Hash, error) {
	t := p.s.trial(what)
	var h v1.Hash
	err := t.do(ctx, func(ctx context.Context) (err error) {
		h, err = p.s.head(ctx, id)
		return err
	})
	if err != nil {
		return h, p.s.failed(t, err)
	}
	return h, nil
}

// put is session.put, with retries.
func (p *publication) put(ctx context.Context, what, id string, mt types.MediaType, raw []byte) error {
	t := p.s.trial("push " + what)
	err := t.do(ctx, func(ctx context.Context) error { return p.s.put(ctx, id, mt, raw) })
	if err != nil {
		return p.s.failed(t, err)
	}
	return nil
}

// unknown reports whether the registry misses a part of what it was given.
func unknown(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && has(terr, transport.ManifestBlobUnknownErrorCode,
		transport.BlobUnknownErrorCode, transport.ManifestUnknownErrorCode)
}

// pushChildren pushes the children that the registry doesn't have. With doubt
// it pushes those that it says it has, too.
func (p *publication) pushChildren(ctx context.Context, doubt bool) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range p.children {
		g.Go(func() error { return p.pushChild(ctx, d, doubt) })
	}
	return g.Wait()
}

func (p *publication) pushChild(ctx context.Context, d v1.Descriptor, doubt bool) error {
	what := "image " + d.Digest.String()
	if !doubt {
		h, err := p.head(ctx, "look at "+what, d.Digest.String())
		if err != nil || h == d.Digest {
			return err
		}
	}
	raw, blobs, err := p.read(d)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", Written(p.s.repo), what, err)
	}
	t := p.s.trial("push " + what)
	for round := 0; ; round++ {
		err := p.pushBlobs(ctx, blobs, round)
		if err != nil {
			return err
		}
		err = p.put(ctx, what, d.Digest.String(), d.MediaType, raw)
		if err == nil {
			p.count(func(o *Published) { o.Children++ })
			return nil
		}
		if !unknown(err) {
			return err
		}
		if err := t.again(ctx, err); err != nil {
			return err
		}
	}
}

// read takes a child from the index.
func (p *publication) read(d v1.Descriptor) (raw []byte, blobs []blob, err error) {
	img, err := p.idx.Image(d.Digest)
	if err != nil {
		return nil, nil, err
	}
	if raw, err = img.RawManifest(); err != nil {
		return nil, nil, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	if err == nil && h != d.Digest {
		err = fmt.Errorf("its manifest has the digest %s", h)
	}
	if err != nil {
		return nil, nil, err
	}
	blobs, err = blobsOf(img)
	return raw, blobs, err
}

func (p *publication) count(f func(*Published)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.out)
}

// tell reports progress. p.mu is held.
func (p *publication) tell(sent, total int64) {
	p.event.Sent += sent
	p.event.Total += total
	if p.progress != nil {
		p.progress(p.event)
	}
}
