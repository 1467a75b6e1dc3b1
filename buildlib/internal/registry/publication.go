package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// publication is one index on its way to one repository.
type publication struct {
	tagging
	idx      v1.ImageIndex
	children []v1.Descriptor
	// ensure makes sure that the repository has the children. With doubt, it
	// said so before, and then didn't know them.
	ensure func(ctx context.Context, doubt bool) error
	// always says that ensure is called even if a tag leads to the index.
	always bool
	// ready is asked before anything is pushed, and again before the tags are
	// written, when all else is there; nil: nobody is asked.
	ready func(context.Context) error
	// attachments are pushed before the tags are written.
	attachments []Attachment
	pushed      func(context.Context) error // called after that; may be nil
}

// publication checks what is to be published, announces the work until done is
// called, and logs in.
func (c *Client) publication(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, progress func(Event)) (p *publication, done func(), err error) {
	p = &publication{idx: idx}
	digest, err := p.parse()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", displayName(repo), err)
	}
	states := []TagState{}
	for _, tag := range tags {
		if _, err := name.NewTag(repo.Name() + ":" + tag); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", displayName(repo), err)
		}
		if !slices.ContainsFunc(states, func(t TagState) bool { return t.Tag == tag }) {
			states = append(states, TagState{Tag: tag, Pushed: true})
		}
	}
	done = c.wire.expect(repo.RegistryStr())
	p.upload, err = c.upload(ctx, repo, progress)
	p.out.Digest, p.out.Tags = digest, states
	p.written = make([]bool, len(states))
	return p, done, err
}

func (p *publication) parse() (digest v1.Hash, err error) {
	if p.index.Raw, err = p.idx.RawManifest(); err != nil {
		return digest, err
	}
	if p.index.Type, err = p.idx.MediaType(); err != nil {
		return digest, err
	}
	if digest, _, err = v1.SHA256(bytes.NewReader(p.index.Raw)); err != nil {
		return digest, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(p.index.Raw))
	if err != nil {
		return digest, fmt.Errorf("index %s: %w", digest, err)
	}
	for _, d := range m.Manifests {
		if !d.MediaType.IsImage() {
			return digest, fmt.Errorf("index %s: child %s is a %s, not an image", digest, d.Digest, d.MediaType)
		}
		if !slices.ContainsFunc(p.children, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			p.children = append(p.children, d)
		}
	}
	return digest, nil
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
	ready := func() error {
		if p.ready == nil {
			return nil
		}
		return p.ready(ctx)
	}
	if err := ready(); err != nil {
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
		if err == nil {
			err = ready()
		}
		if err == nil {
			err = p.attach(ctx, false)
		}
		if err == nil {
			err = p.write(ctx)
		}
		// The registry lost, or has yet to find, what it said it has.
		if err == nil || !incomplete(err) {
			break
		}
		if err = op.again(ctx, err); err != nil {
			break
		}
	}
	return errors.Join(err, p.readBack(ctx))
}
