package publish

import (
	"context"
	"fmt"
	"io"
	"net/http"
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
// index nor a tag is written.
func (c *Client) Join(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string) (Published, error) {
	return c.publish(ctx, repo, idx, tags, nil, func(p *publication, ctx context.Context) error {
		p.elsewhere = true
		return p.run(ctx)
	})
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

// findChild checks that the repository has the image that d describes.
func (p *publication) findChild(ctx context.Context, d v1.Descriptor) error {
	var size int64
	err := p.expect(ctx, "look for image "+d.Digest.String(), d.Digest, "the registry stores other bytes than it was sent",
		func(ctx context.Context) (h v1.Hash, err error) {
			h, size, err = p.stat(ctx, d.Digest.String())
			return h, err
		})
	if err == nil && size != d.Size {
		err = fmt.Errorf("%s: image %s has %d bytes, not the %d that the index says", Written(p.s.repo), d.Digest, size, d.Size)
	}
	return err
}

// stat asks for a manifest's digest and size: with HEAD, which doesn't count as
// a pull. But it believes a yes only, as what a HEAD calls missing may be hidden
// from it, and asks with GET then.
func (p *publication) stat(ctx context.Context, id string) (v1.Hash, int64, error) {
	resp, err := p.s.manifest(ctx, http.MethodHead, id)
	if err != nil && passing(err) {
		return v1.Hash{}, 0, err
	}
	if err == nil {
		resp.Body.Close()
		h, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
		if err == nil && h.String() == id && resp.ContentLength > 0 {
			return h, resp.ContentLength, nil
		}
	}
	if resp, err = p.s.manifest(ctx, http.MethodGet, id); err != nil {
		return v1.Hash{}, 0, err
	}
	defer resp.Body.Close()
	return v1.SHA256(io.LimitReader(resp.Body, manifestLimit))
}
