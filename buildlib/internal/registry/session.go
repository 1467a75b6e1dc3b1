package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifestLimit is how large a manifest that is read may be. Registries accept
// 4 MB (OCI distribution spec, "Pushing Manifests").
const manifestLimit = 16 << 20

// session is a repository that this process has logged in to.
type session struct {
	c    *Client
	repo name.Repository

	login chan struct{} // held while logging in

	mu     sync.Mutex
	client *http.Client // nil: not logged in
	scopes []string
}

// authorize logs in unless that was done before, for the repository and for
// pulling from those in more.
func (s *session) authorize(ctx context.Context, more ...name.Repository) error {
	select {
	case s.login <- struct{}{}:
		defer func() { <-s.login }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// Some registries look at the first scope only.
	scopes := []string{s.repo.Scope(transport.PushScope)}
	s.mu.Lock()
	done := s.client != nil
	if done {
		scopes = slices.Clone(s.scopes)
	}
	s.mu.Unlock()
	for _, repo := range more {
		if scope := repo.Scope(transport.PullScope); !slices.Contains(scopes, scope) {
			scopes, done = append(scopes, scope), false
		}
	}
	if done {
		return nil
	}
	t := s.trial("log in")
	// Of many images each would wait as long for a registry that is down.
	_, t.once = s.c.down.Load(t.registry)
	var rt http.RoundTripper
	err := t.do(ctx, func(ctx context.Context) error {
		auth, err := s.c.credentials(ctx, s.repo)
		if err != nil {
			return err
		}
		rt, err = transport.NewWithContext(ctx, s.repo.Registry, auth, s.c.wire, scopes)
		return err
	})
	if err != nil {
		if t.isOver() {
			s.c.down.Store(t.registry, nil)
		}
		return s.failed(t, err)
	}
	s.c.down.Delete(t.registry)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.scopes = &http.Client{Transport: rt}, scopes
	return nil
}

// trial begins an operation on the repository.
func (s *session) trial(what string) *trial {
	t := s.c.wire.newTrial(Written(s.repo)+": "+what, s.c.plain(s.repo.RegistryStr()))
	t.registry = s.repo.RegistryStr()
	return t
}

// url returns the address of something in the repository.
func (s *session) url(kind, id string) *url.URL {
	return &url.URL{
		Scheme: s.repo.Scheme(),
		Host:   s.repo.RegistryStr(),
		Path:   "/v2/" + s.repo.RepositoryStr() + "/" + kind + "/" + id,
	}
}

// do sends a request and returns the answer if its status is one of codes,
// else a *transport.Error.
func (s *session) do(req *http.Request, codes ...int) (*http.Response, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
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

// manifestTypes are what a registry may answer with; it may hide a manifest of
// another type.
var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// manifest asks for a manifest by tag or digest.
func (s *session) manifest(ctx context.Context, method, id string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url("manifests", id).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", manifestTypes)
	return s.do(req, http.StatusOK)
}

// head returns the digest that the registry says a tag or digest has, the zero
// Hash if there is no such manifest.
func (s *session) head(ctx context.Context, id string) (v1.Hash, error) {
	resp, err := s.manifest(ctx, http.MethodHead, id)
	var terr *transport.Error
	if errors.As(err, &terr) {
		switch terr.StatusCode {
		// Some registries answer 403 for what isn't there (JFrog
		// RTFACT-13797), or know no HEAD. What is taken for missing is
		// pushed.
		case http.StatusNotFound, http.StatusForbidden, http.StatusMethodNotAllowed:
			return v1.Hash{}, nil
		}
	}
	if err != nil {
		return v1.Hash{}, err
	}
	resp.Body.Close()
	h, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err == nil {
		return h, nil
	}
	// The header is optional.
	h, err = s.read(ctx, id)
	if errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound {
		return v1.Hash{}, nil
	}
	return h, err
}

// read gets a manifest and returns the digest of the bytes that came, whatever
// the registry says it is.
func (s *session) read(ctx context.Context, id string) (v1.Hash, error) {
	h, _, err := s.get(ctx, id)
	return h, err
}

// get is read, and returns the bytes.
func (s *session) get(ctx context.Context, id string) (v1.Hash, []byte, error) {
	resp, err := s.manifest(ctx, http.MethodGet, id)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, manifestLimit))
	if err != nil {
		return v1.Hash{}, nil, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	return h, raw, err
}

// blob gets the small blob that d describes, and checks that it is that.
func (s *session) blob(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > manifestLimit {
		return nil, fmt.Errorf("%d bytes, more than the %d that are read", d.Size, manifestLimit)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("blobs", d.Digest.String()).String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(req, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, d.Size+1))
	if err != nil {
		return nil, err
	}
	h, n, err := v1.SHA256(bytes.NewReader(raw))
	if err == nil && (h != d.Digest || n != d.Size) {
		err = fmt.Errorf("the registry has other content: %d bytes of the digest %s", n, h)
	}
	return raw, err
}

// put writes a manifest under a tag or its digest.
func (s *session) put(ctx context.Context, id string, mt types.MediaType, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url("manifests", id).String(), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(mt))
	resp, err := s.do(req, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// hasBlob asks whether the repository has the blob.
func (s *session) hasBlob(ctx context.Context, h v1.Hash) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.url("blobs", h.String()).String(), nil)
	if err != nil {
		return false, err
	}
	// As with manifests, what is taken for missing is pushed.
	resp, err := s.do(req, http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusMethodNotAllowed)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// begin starts the upload of a blob (OCI distribution spec, "Pushing a blob
// monolithically") and returns where its data goes. If from is set and the
// registry can mount the blob from there (end-11), there is no upload, and the
// location is nil.
func (s *session) begin(ctx context.Context, h v1.Hash, from *name.Repository) (*url.URL, error) {
	u := s.url("blobs", "uploads/")
	if from != nil {
		u.RawQuery = url.Values{"mount": {h.String()}, "from": {from.RepositoryStr()}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(req, http.StatusAccepted, http.StatusCreated)
	var terr *transport.Error
	if from != nil && errors.As(err, &terr) && !passing(err) {
		return s.begin(ctx, h, nil) // it may not read there, or knows no mounts
	}
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if from != nil && resp.StatusCode == http.StatusCreated {
		return nil, nil
	}
	return location(resp)
}

// location returns where an answer says to go on. On another host, it must not
// be an address that only this machine or its network can reach.
func location(resp *http.Response) (*url.URL, error) {
	base := resp.Request.URL
	loc, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		// The parser's error would show the query.
		return nil, errors.New("the registry's answer has no usable Location")
	}
	u := base.ResolveReference(loc)
	if u.Hostname() == base.Hostname() {
		return u, nil
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if ip = ip.Unmap(); ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
			return nil, fmt.Errorf("the registry sends the upload to the private address %s", u.Host)
		}
	}
	return u, nil
}

// send uploads a blob's data to where begin said, in one request.
func (s *session) send(ctx context.Context, to *url.URL, b blob, open func() (io.ReadCloser, error)) error {
	u := *to
	// The location's own query is opaque, and kept as it is.
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += url.Values{"digest": {b.digest.String()}}.Encode()
	body, err := open()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), body)
	if err != nil {
		body.Close()
		return err
	}
	req.GetBody, req.ContentLength = open, b.size
	if b.size == 0 {
		req.Body = http.NoBody
		body.Close()
	}
	req.Header.Set("Content-Type", octets)
	resp, err := s.do(req, http.StatusCreated, http.StatusNoContent)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
