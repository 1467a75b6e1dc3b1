package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// publication is one index on its way to one repository.
type publication struct {
	tagging
	idx      v1.ImageIndex
	children []v1.Descriptor
	// ensure makes sure that the repository has the children. doubt is set if the
	// registry said before that it has them, and then didn't know them.
	ensure func(ctx context.Context, doubt bool) error
	// always calls ensure even if a tag leads to the index.
	always bool
}

// Publish makes every tag of the repository point to the index. Children go
// first, by digest, then the index by digest, then the tags, which are then read
// back. What the registry has is not sent again; if all tags have the digest,
// nothing else is checked. Without tags the index is published by digest alone.
// The result says how far it got, also beside an error.
func (c *Client) Publish(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, h Hooks) (Published, error) {
	return c.publish(ctx, repo, idx, tags, h, func(p *publication) error {
		p.ensure = p.pushChildren
		return p.run(ctx)
	})
}

// PushImages pushes the children of the index by digest, but neither the index
// nor a tag: Join does, once all children are there.
func (c *Client) PushImages(ctx context.Context, repo name.Repository, idx v1.ImageIndex, h Hooks) (Published, error) {
	return c.publish(ctx, repo, idx, nil, h, func(p *publication) error {
		if err := p.pushChildren(ctx, false); err != nil {
			return err
		}
		return p.attach(ctx, false)
	})
}

// publish checks what is to be published, logs in, and calls run.
func (c *Client) publish(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, h Hooks, run func(*publication) error) (Published, error) {
	p := &publication{idx: idx}
	out, err := p.parse(repo, tags)
	if err != nil {
		return Published{}, fmt.Errorf("%s: %w", displayName(repo), err)
	}
	defer c.wire.announce(repo.RegistryStr())()
	p.upload, err = c.upload(ctx, repo, h)
	p.out, p.written = out, make([]bool, len(out.Tags))
	if err == nil {
		err = run(p)
	}
	return p.out, err
}

// parse reads the index, and returns the state before anything is published.
func (p *publication) parse(repo name.Repository, tags []string) (out Published, err error) {
	if p.index.Raw, err = p.idx.RawManifest(); err != nil {
		return out, err
	}
	if p.index.Type, err = p.idx.MediaType(); err != nil {
		return out, err
	}
	if out.Digest, _, err = v1.SHA256(bytes.NewReader(p.index.Raw)); err != nil {
		return out, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(p.index.Raw))
	if err != nil {
		return out, fmt.Errorf("index %s: %w", out.Digest, err)
	}
	for _, d := range m.Manifests {
		if !d.MediaType.IsImage() {
			return out, fmt.Errorf("index %s: child %s is a %s, not an image", out.Digest, d.Digest, d.MediaType)
		}
		if !slices.ContainsFunc(p.children, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			p.children = append(p.children, d)
		}
	}
	for _, tag := range tags {
		if _, err := name.NewTag(repo.Name() + ":" + tag); err != nil {
			return out, err
		}
		if !slices.ContainsFunc(out.Tags, func(t TagState) bool { return t.Tag == tag }) {
			out.Tags = append(out.Tags, TagState{Tag: tag, Pushed: true})
		}
	}
	return out, nil
}

func (p *publication) run(ctx context.Context) error {
	known, err := p.look(ctx)
	if err != nil {
		return err
	}
	missing := slices.ContainsFunc(p.out.Tags, func(t TagState) bool { return t.Pushed })
	if known && !missing && !p.always {
		return p.attach(ctx, true)
	}
	if err := call(ctx, p.hooks.Ready); err != nil {
		return err
	}
	op := p.operation("push")
	for round := 0; ; round++ {
		if !known || p.always || round > 0 {
			err = p.ensure(ctx, round > 0)
		}
		if err == nil && (!known || round > 0) {
			err = p.put(ctx, "index "+p.out.Digest.String(), p.out.Digest.String(), p.index)
		}
		if err == nil && missing {
			err = call(ctx, p.hooks.Test)
		}
		if err == nil {
			err = call(ctx, p.hooks.Ready)
		}
		if err == nil {
			err = p.attach(ctx, false)
		}
		if err == nil {
			err = p.write(ctx)
		}
		// Again if the registry lost, or doesn't yet find, what it said it has.
		if err == nil || !incomplete(err) {
			break
		}
		if err = op.again(ctx, err); err != nil {
			break
		}
	}
	return errors.Join(err, p.readBack(ctx))
}

// pushChildren pushes the children that the registry lacks; with doubt, also
// those that it says it has.
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
		h, err := p.head(ctx, what, d.Digest.String())
		if err != nil || h == d.Digest {
			return err
		}
	}
	m, err := p.child(d)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", displayName(p.repo), what, err)
	}
	if err := p.pushManifest(ctx, what, d.Digest.String(), m); err != nil {
		return err
	}
	p.count(func(o *Published) { o.Children++ })
	return nil
}

// child returns a child's manifest and blobs.
func (p *publication) child(d v1.Descriptor) (m Manifest, err error) {
	img, err := p.idx.Image(d.Digest)
	if err != nil {
		return m, err
	}
	m.Type = d.MediaType
	if m.Raw, err = img.RawManifest(); err != nil {
		return m, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(m.Raw))
	if err == nil && h != d.Digest {
		err = fmt.Errorf("its manifest has the digest %s", h)
	}
	if err != nil {
		return m, err
	}
	m.Blobs, err = blobsOf(img)
	return m, err
}

// blobsOf lists the blobs of an image, layers first. Layers that may not be
// distributed are left where they are (OCI image spec, "Non-Distributable
// Layers").
func blobsOf(img v1.Image) ([]Blob, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return nil, err
	}
	var all []Blob
	for _, l := range append(layers, config) {
		d, err := partial.Descriptor(l)
		if err != nil {
			return nil, err
		}
		if !d.MediaType.IsDistributable() {
			continue
		}
		b := Blob{Digest: d.Digest, Size: d.Size, Open: l.Compressed}
		if m, ok := l.(*remote.MountableLayer); ok && m.Reference != nil {
			from := m.Reference.Context()
			b.From = &from
		}
		all = append(all, b)
	}
	return all, nil
}
