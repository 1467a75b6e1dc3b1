package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifestTypes are the types that are accepted; registries may hide a manifest of
// another type.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// url returns the address of something in the repository.
func (s *session) url(kind, id string) *url.URL {
	return &url.URL{
		Scheme: s.repo.Scheme(),
		Host:   s.repo.RegistryStr(),
		Path:   "/v2/" + s.repo.RepositoryStr() + "/" + kind + "/" + id,
	}
}

// transport returns the session's transport, which adds its login to requests.
func (s *session) transport() http.RoundTripper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// remote returns the options with which ggcr's remote package uses this session.
func (s *session) remote(ctx context.Context) []remote.Option {
	return append([]remote.Option{remote.WithContext(ctx), remote.WithTransport(s.transport())}, tryOnce...)
}

// do sends a request and returns the answer if its status is one of codes, else
// a *transport.Error.
func (s *session) do(req *http.Request, codes ...int) (*http.Response, error) {
	client := http.Client{Transport: s.transport()}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, codes...); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// ask sends a request without a body.
func (s *session) ask(ctx context.Context, method string, at *url.URL, codes ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if isManifest(req) {
		req.Header.Set("Accept", manifestTypes)
	}
	return s.do(req, codes...)
}

// head returns the digest that the registry says a tag or digest has, or the zero
// Hash if there is no such manifest.
func (s *session) head(ctx context.Context, what, id string) (h v1.Hash, err error) {
	err = s.try(ctx, "look at "+what, func(ctx context.Context) error {
		// Some registries answer 403 for what isn't there (JFrog RTFACT-13797),
		// or don't support HEAD. What counts as missing is pushed.
		resp, err := s.ask(ctx, http.MethodHead, s.url("manifests", id),
			http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusMethodNotAllowed)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			h = v1.Hash{}
			return nil
		}
		if h, err = v1.NewHash(resp.Header.Get("Docker-Content-Digest")); err == nil {
			return nil
		}
		h, _, err = s.get(ctx, id) // the header is optional
		if absent(err) {
			return nil
		}
		return err
	})
	return h, err
}

// get gets a manifest, and returns the digest of the bytes that came, whatever
// the registry says it is.
func (s *session) get(ctx context.Context, id string) (v1.Hash, Manifest, error) {
	resp, err := s.ask(ctx, http.MethodGet, s.url("manifests", id), http.StatusOK)
	if err != nil {
		return v1.Hash{}, Manifest{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body) // as much as manifestLimit
	if err != nil {
		return v1.Hash{}, Manifest{}, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	return h, Manifest{Type: types.MediaType(resp.Header.Get("Content-Type")), Raw: raw}, err
}

// readTries is how often a manifest is read before another digest, or none, is an
// error: some registries answer reads from a replica that lags behind.
const readTries = 3

// await gets the manifest id until it has the digest want. why is the explanation
// if it has another one.
func (s *session) await(ctx context.Context, what, id string, want v1.Hash, why string) (Manifest, error) {
	op := s.operation(what)
	for i := 1; ; i++ {
		var got v1.Hash
		var m Manifest
		err := op.do(ctx, func(ctx context.Context) (err error) {
			got, m, err = s.get(ctx, id)
			return err
		})
		switch {
		case err == nil && got == want:
			return m, nil
		case err == nil:
			err = fmt.Errorf("got %s, want %s: %s", got, want, why)
		case !absent(err):
			return m, s.failed(s.repo, op, err)
		}
		if i == readTries || op.again(ctx, err) != nil {
			if ctx.Err() != nil {
				return m, context.Cause(ctx)
			}
			return m, s.failed(s.repo, op, err)
		}
	}
}

// Manifest is a manifest or an index as a registry keeps it.
type Manifest struct {
	Type types.MediaType
	Raw  []byte
	// Blobs are what it refers to, and are pushed before it. A manifest that was
	// pulled has none here.
	Blobs []Blob
}

// RawManifest and MediaType make it what ggcr's remote.Put takes.
func (m Manifest) RawManifest() ([]byte, error)        { return m.Raw, nil }
func (m Manifest) MediaType() (types.MediaType, error) { return m.Type, nil }

// Blob is content that a manifest refers to.
type Blob struct {
	Digest v1.Hash
	Size   int64 // in bytes
	Open   func() (io.ReadCloser, error)
	// From is a repository that has the blob; nil: none is known. If it is in the
	// same registry, the blob can be mounted.
	From *name.Repository
}

// put writes a manifest under a tag or its digest. If it has a subject, and the
// registry lacks the referrers API, ggcr adds it to the fallback tag.
func (s *session) put(ctx context.Context, what, id string, m Manifest) error {
	var ref name.Reference = s.repo.Tag(id)
	if strings.Contains(id, ":") {
		ref = s.repo.Digest(id)
	}
	return s.try(ctx, "push "+what, func(ctx context.Context) error {
		return remote.Put(ref, m, s.remote(ctx)...)
	})
}

// hasBlob asks whether the repository has the blob.
func (s *session) hasBlob(ctx context.Context, h v1.Hash) (bool, error) {
	// As with manifests, what counts as missing is pushed.
	resp, err := s.ask(ctx, http.MethodHead, s.url("blobs", h.String()),
		http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusMethodNotAllowed)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// open opens the blob that d describes.
func (s *session) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	op := s.operation("pull blob " + d.Digest.String())
	b := &verified{d: d, failed: func(err error) error { return s.failed(s.repo, op, err) }}
	var err error
	if b.hash, err = v1.Hasher(d.Digest.Algorithm); err != nil {
		return nil, b.failed(err)
	}
	err = op.do(ctx, func(ctx context.Context) error {
		resp, err := s.ask(ctx, http.MethodGet, s.url("blobs", d.Digest.String()), http.StatusOK)
		if err == nil {
			b.body = resp.Body
		}
		return err
	})
	if err != nil {
		return nil, b.failed(err)
	}
	return b, nil
}

// verified is the content of a blob: its end is an error unless it has the digest and
// size of d.
type verified struct {
	d      v1.Descriptor
	body   io.ReadCloser
	hash   hash.Hash
	size   int64
	failed func(error) error
}

func (b *verified) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	switch {
	case err == io.EOF:
		if got := hex.EncodeToString(b.hash.Sum(nil)); got != b.d.Digest.Hex || b.size != b.d.Size {
			err = b.failed(fmt.Errorf("the registry has other content: %d bytes with the digest %s:%s", b.size, b.d.Digest.Algorithm, got))
		}
	case b.size > b.d.Size:
		err = b.failed(fmt.Errorf("the registry has other content: more than %d bytes", b.d.Size))
	case err != nil:
		err = b.failed(err)
	}
	return n, err
}

func (b *verified) Close() error { return b.body.Close() }
