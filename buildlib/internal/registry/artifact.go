package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Manifest gets the manifest or index that ref names, and its digest. If ref is a
// digest, the content must have it.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (v1.Hash, Manifest, error) {
	s, err := c.session(ctx, ref.Context(), transport.PullScope)
	if err != nil {
		return v1.Hash{}, Manifest{}, err
	}
	var h v1.Hash
	var m Manifest
	err = s.try(ctx, "pull "+ref.Identifier(), func(ctx context.Context) (err error) {
		h, m, err = s.get(ctx, ref.Identifier())
		if _, ok := ref.(name.Digest); ok && err == nil && h.String() != ref.Identifier() {
			err = fmt.Errorf("the registry has other content under this digest: %s", h)
		}
		return err
	})
	return h, m, err
}

// Blob opens the blob of the repository that d describes. A broken download is
// resumed; the end is an error unless digest and size are d's. Close it.
func (c *Client) Blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	s, err := c.session(ctx, repo, transport.PullScope)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, d)
}

// Referrers lists the manifests that have the subject and the artifact type; an
// empty type means all. Where the registry lacks the API for that, it is the
// fallback tag that lists them (OCI distribution spec, "Listing Referrers").
func (c *Client) Referrers(ctx context.Context, subject name.Digest, artifactType string) ([]v1.Descriptor, error) {
	s, err := c.session(ctx, subject.Context(), transport.PullScope)
	if err != nil {
		return nil, err
	}
	h, err := v1.NewHash(subject.DigestStr())
	if err != nil {
		return nil, err
	}
	if artifactType != "" {
		return s.referrers(ctx, h, remote.WithFilter("artifactType", artifactType))
	}
	return s.referrers(ctx, h)
}

// referrers lists those of the repository's manifest.
func (s *session) referrers(ctx context.Context, subject v1.Hash, filter ...remote.Option) ([]v1.Descriptor, error) {
	var list *v1.IndexManifest
	err := s.try(ctx, "list referrers of "+subject.String(), func(ctx context.Context) error {
		idx, err := remote.Referrers(s.repo.Digest(subject.String()), append(s.remote(ctx), filter...)...)
		if err == nil {
			list, err = idx.IndexManifest()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return list.Manifests, nil
}

// Push pushes the blobs of a manifest that the registry lacks, and then the manifest
// under the tag, or under its digest if tag is empty. A manifest that is there
// already costs one request. It returns the digest.
//
// A manifest with a subject becomes its referrer. Where the registry lacks the
// referrers API, the fallback tag is read and written again: don't push two for one
// subject at the same time.
func (c *Client) Push(ctx context.Context, repo name.Repository, tag string, m Manifest, h Hooks) (v1.Hash, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(m.Raw))
	if err != nil {
		return digest, err
	}
	what, id := "manifest "+digest.String(), digest.String()
	if tag != "" {
		what, id = "tag "+tag, tag
	}
	defer c.wire.announce(repo.RegistryStr())()
	u, err := c.upload(ctx, repo, h)
	if err != nil {
		return digest, err
	}
	if got, err := u.head(ctx, what, id); err != nil || got == digest {
		return digest, err
	}
	if err := call(ctx, u.hooks.Ready); err != nil {
		return digest, err
	}
	return digest, u.pushManifest(ctx, what, id, m)
}
