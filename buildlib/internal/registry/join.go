package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Join is Publish of an index whose children others have pushed. It checks that they
// are there, even if all tags point to the index: a registry may have deleted them
// since. It uploads no blob. If the repository lacks some, the error is a *Missing,
// and neither the index nor a tag is written.
func (c *Client) Join(ctx context.Context, repo name.Repository, idx v1.ImageIndex, tags []string, h Hooks) (Published, error) {
	return c.publish(ctx, repo, idx, tags, h, func(p *publication) error {
		p.always, p.ensure = true, func(ctx context.Context, _ bool) error { return p.findChildren(ctx, h.Check) }
		return p.run(ctx)
	})
}

// Missing is the error of Join for images that the repository lacks.
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

// findChildren looks for the children, which others have pushed.
func (p *publication) findChildren(ctx context.Context, check Check) error {
	missing := make([]bool, len(p.children))
	g, gctx := p.group(ctx)
	for i, d := range p.children {
		g.Go(func() error {
			err := p.findChild(gctx, d, check)
			if missing[i] = absent(err); missing[i] {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m := &Missing{Repository: displayName(p.repo)}
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

// findChild checks that the repository has the image that d describes. It gets the
// manifest: some registries answer a HEAD wrongly, and it doesn't show the content.
func (p *publication) findChild(ctx context.Context, d v1.Descriptor, check Check) error {
	found, err := p.await(ctx, "look for image "+d.Digest.String(), d.Digest.String(), d.Digest, "the registry stores other bytes than it was sent")
	if err != nil {
		return err
	}
	wrong := func(err error) error {
		return fmt.Errorf("%s: image %s: %w", displayName(p.repo), d.Digest, err)
	}
	if size := int64(len(found.Raw)); size != d.Size {
		return wrong(fmt.Errorf("it has %d bytes, not the %d that the index says", size, d.Size))
	}
	m, err := v1.ParseManifest(bytes.NewReader(found.Raw))
	if err != nil {
		return wrong(err)
	}
	if check == nil {
		return nil
	}
	config, err := p.config(ctx, m.Config)
	if err != nil {
		return err
	}
	if err := check(d, m, config); err != nil {
		return wrong(err)
	}
	return nil
}

// config gets the config that d describes.
func (p *publication) config(ctx context.Context, d v1.Descriptor) (config *v1.ConfigFile, err error) {
	err = p.try(ctx, "read config "+d.Digest.String(), func(ctx context.Context) error {
		if d.Size < 0 || d.Size > manifestLimit {
			return fmt.Errorf("%d bytes, more than the %d that are read", d.Size, manifestLimit)
		}
		blob, err := p.open(ctx, d)
		if err != nil {
			return err
		}
		defer blob.Close()
		raw, err := io.ReadAll(blob)
		if err != nil {
			return err
		}
		config, err = v1.ParseConfigFile(bytes.NewReader(raw))
		return err
	})
	return config, err
}
