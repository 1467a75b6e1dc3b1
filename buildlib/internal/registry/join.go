package registry

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// PushImages pushes the children of the index, by digest, and neither the
// index nor a tag: that is for Join, once all of an index are there.
func (c *Client) PushImages(ctx context.Context, repo name.Repository, idx v1.ImageIndex, progress func(Event)) (Published, error) {
	return c.publish(ctx, repo, idx, nil, progress, func(p *publication, ctx context.Context) error {
		return p.pushChildren(ctx, false)
	})
}

// Join is Publish of an index whose children others have pushed: it looks for
// them, even if all tags lead to the index, opens none, and uploads no blob.
// Those that the repository doesn't have are a *Missing, and then neither the
// index nor a tag is written. The same is so if check, which is given the
// manifest and config of each and may be nil, returns an error.
func (c *Client) Join(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, check Check) (Published, error) {
	return c.publish(ctx, repo, idx, tags, nil, func(p *publication, ctx context.Context) error {
		p.elsewhere, p.check = true, check
		return p.run(ctx)
	})
}

// Check compares an image that a repository has with what is known of it.
type Check func(v1.Descriptor, *v1.Manifest, *v1.ConfigFile) error

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

// findChild checks that the repository has the image that d describes. It gets
// the manifest, for a HEAD may call missing what is hidden from it, and tells
// nothing of what is in it.
func (p *publication) findChild(ctx context.Context, d v1.Descriptor) error {
	var raw []byte
	err := p.expect(ctx, "look for image "+d.Digest.String(), d.Digest, "the registry stores other bytes than it was sent",
		func(ctx context.Context) (h v1.Hash, err error) {
			h, raw, err = p.s.get(ctx, d.Digest.String())
			return h, err
		})
	if err != nil {
		return err
	}
	wrong := func(err error) error {
		return fmt.Errorf("%s: image %s: %w", Written(p.s.repo), d.Digest, err)
	}
	if int64(len(raw)) != d.Size {
		return wrong(fmt.Errorf("it has %d bytes, not the %d that the index says", len(raw), d.Size))
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return wrong(err)
	}
	if p.check == nil {
		return nil
	}
	config, err := p.config(ctx, m.Config)
	if err != nil {
		return err
	}
	if err := p.check(d, m, config); err != nil {
		return wrong(err)
	}
	return nil
}

// config gets the config that d describes.
func (p *publication) config(ctx context.Context, d v1.Descriptor) (*v1.ConfigFile, error) {
	t := p.s.trial("read config " + d.Digest.String())
	var raw []byte
	err := t.do(ctx, func(ctx context.Context) (err error) {
		raw, err = p.s.blob(ctx, d)
		return err
	})
	if err != nil {
		return nil, p.s.failed(t, err)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, p.s.failed(t, err)
	}
	return config, nil
}
