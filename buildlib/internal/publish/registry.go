package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// TagState is what became of a tag.
type TagState struct {
	Tag    string
	Pushed bool // false: it had the digest already, and was not written
	// Current is set once the tag is known to have the digest: found so, or
	// read back. After a failure it tells the tags that are right.
	Current bool
}

// Missing is the error of Join for images that the repository doesn't have.
type Missing struct {
	Repository string          // as people write it
	Images     []v1.Descriptor // as the index has them
}

func (m *Missing) Error() string {
	names := make([]string, len(m.Images))
	for i, d := range m.Images {
		names[i] = d.Digest.String()
		if d.Platform != nil {
			names[i] = d.Platform.String() + " " + names[i]
		}
	}
	return fmt.Sprintf("%s: not there: %s", m.Repository, strings.Join(names, ", "))
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

// PushImages pushes the children of the index, by digest, and neither the
// index nor a tag: that is for Join, once all of an index are there.
func (c *Client) PushImages(ctx context.Context, repo name.Repository, idx v1.ImageIndex, progress func(Event)) (Published, error) {
	return c.publish(ctx, repo, idx, nil, progress, func(p *publication, ctx context.Context) error {
		return p.pushChildren(ctx, false)
	})
}

// Join is Publish of an index whose children others have pushed: it looks for
// them, opens none, and uploads no blob. Those that the repository doesn't have
// are a *Missing, and then neither the index nor a tag is written.
func (c *Client) Join(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string) (Published, error) {
	return c.publish(ctx, repo, idx, tags, nil, func(p *publication, ctx context.Context) error {
		p.elsewhere = true
		return p.run(ctx)
	})
}

// publish does what run says.
func (c *Client) publish(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, progress func(Event), run func(*publication, context.Context) error) (Published, error) {
	p, err := newPublication(c, repo, idx, tags, progress)
	if err != nil {
		return Published{}, fmt.Errorf("%s: %w", Written(repo), err)
	}
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
	if known && !missing {
		return nil
	}
	t := p.s.trial("push")
	for round := 0; ; round++ {
		if !known || round > 0 {
			err = p.seeToChildren(ctx, round > 0)
			if err == nil {
				err = p.put(ctx, "index "+p.out.Digest.String(), p.out.Digest.String(), p.media, p.raw)
			}
		}
		if err == nil {
			err = p.eachTag(ctx, func(ctx context.Context, t *TagState) error {
				return p.put(ctx, "tag "+t.Tag, t.Tag, p.media, p.raw)
			})
		}
		if err == nil {
			break
		}
		// The registry lost, or has yet to find, what it said it has.
		if !unknown(err) {
			return err
		}
		if err := t.again(ctx, err); err != nil {
			return err
		}
	}
	return p.eachTag(ctx, p.readBack)
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

func (p *publication) group(ctx context.Context) (*errgroup.Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * p.c.o.Jobs) // of small requests
	return g, ctx
}

// eachTag calls f for the tags that did not have the digest.
func (p *publication) eachTag(ctx context.Context, f func(ctx context.Context, t *TagState) error) error {
	g, ctx := p.group(ctx)
	for i := range p.out.Tags {
		if t := &p.out.Tags[i]; t.Pushed {
			g.Go(func() error { return f(ctx, t) })
		}
	}
	return g.Wait()
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

// readBack checks what the tag now gives to those who pull it.
func (p *publication) readBack(ctx context.Context, t *TagState) error {
	err := p.expect(ctx, "read back tag "+t.Tag, p.out.Digest,
		"someone else moved it, or the registry stores other bytes than it was sent",
		func(ctx context.Context) (v1.Hash, error) { return p.s.read(ctx, t.Tag) })
	t.Current = err == nil
	return err
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
		if i == mismatches || t.wait(ctx, brief(err), 0) != nil {
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

// unknown reports whether the registry misses a part of what it was given.
func unknown(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && has(terr, transport.ManifestBlobUnknownErrorCode,
		transport.BlobUnknownErrorCode, transport.ManifestUnknownErrorCode)
}

// seeToChildren sees to it that the repository has the children. With doubt, it
// said so before, and then didn't know them.
func (p *publication) seeToChildren(ctx context.Context, doubt bool) error {
	if p.elsewhere {
		return p.findChildren(ctx)
	}
	return p.pushChildren(ctx, doubt)
}

// findChildren looks for the children, which others have pushed.
func (p *publication) findChildren(ctx context.Context) error {
	missing := make([]bool, len(p.children))
	g, gctx := p.group(ctx)
	for i, d := range p.children {
		g.Go(func() error {
			err := p.findChild(gctx, d)
			if missing[i] = absent(err); missing[i] {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m := &Missing{Repository: Written(p.s.repo)}
	for i, d := range p.children {
		if missing[i] {
			m.Images = append(m.Images, d)
		}
	}
	if len(m.Images) > 0 {
		return m
	}
	return nil
}

// findChild asks with HEAD, which doesn't count as a pull, and believes a yes
// only: what a HEAD calls missing may be hidden from it.
func (p *publication) findChild(ctx context.Context, d v1.Descriptor) error {
	id := d.Digest.String()
	return p.expect(ctx, "look for image "+id, d.Digest, "the registry stores other bytes than it was sent",
		func(ctx context.Context) (v1.Hash, error) {
			h, err := p.s.head(ctx, id)
			if err == nil && h != d.Digest {
				h, err = p.s.read(ctx, id)
			}
			return h, err
		})
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
