package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// repository is the origin of a base that a registry has.
type repository struct {
	ref    name.Reference
	remote []remote.Option
	// loginProblem is Resolver.LoginProblem; not nil.
	loginProblem func(name.Repository) string
}

func (r *repository) reference() name.Reference { return r.ref }

// options returns the options for one request. All share the puller, so that a
// registry is asked only once how to log in, but each has its own context.
func (r *repository) options(ctx context.Context) []remote.Option {
	if ctx.Done() == nil {
		return r.remote
	}
	return append(r.remote[:len(r.remote):len(r.remote)], remote.WithContext(ctx))
}

func (r *repository) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	ref := r.ref.Context().Digest(d.Digest.String())
	if d.MediaType.IsImage() || d.MediaType.IsIndex() {
		got, err := remote.Get(ref, r.options(ctx)...)
		if err != nil {
			return nil, r.explain(err, atBlob)
		}
		return io.NopCloser(bytes.NewReader(got.Manifest)), nil
	}
	l, err := remote.Layer(ref, r.options(ctx)...)
	if err != nil {
		return nil, r.explain(err, atBlob)
	}
	rc, err := l.Compressed()
	if err != nil {
		return nil, r.explain(err, atBlob)
	}
	return rc, nil
}

// tagRecord is what a tag pointed to when it was last resolved.
type tagRecord struct{ Digest v1.Hash }

// resolveRegistry finds what the reference names now and returns its bytes. A cached
// digest needs no request, and a tag that hasn't moved needs one HEAD.
func (s *Source) resolveRegistry(ctx context.Context) ([]byte, error) {
	b := s.bases
	parse := b.Reference
	if parse == nil {
		parse = func(s string) (name.Reference, error) { return name.ParseReference(s) }
	}
	if scheme, rest, ok := strings.Cut(s.ref, "://"); ok {
		return nil, fmt.Errorf("not an image reference: leave out %q, as in %s", scheme+"://", rest)
	}
	ref, err := parse(s.ref)
	if err != nil {
		return nil, fmt.Errorf("not an image reference: %w", err)
	}
	s.Name = canonical(ref)
	if s.at != (v1.Hash{}) {
		ref = ref.Context().Digest(s.at.String())
	}
	from := &repository{ref, append(b.Remote[:len(b.Remote):len(b.Remote)], remote.Reuse(b.puller)), b.LoginProblem}
	if from.loginProblem == nil {
		from.loginProblem = func(name.Repository) string { return "" }
	}
	s.from = from

	if _, ok := ref.(name.Digest); ok {
		want, err := v1.NewHash(ref.Identifier())
		if err != nil {
			return nil, err
		}
		if want.Algorithm != "sha256" {
			return nil, fmt.Errorf("%s: only sha256 digests are supported", want)
		}
		s.Digest = want
		if raw, ok := s.cached(want); ok {
			return raw, nil
		}
		return s.get(ctx, from)
	}
	var known tagRecord
	if b.Cache.Load("base", ref.Name(), &known) {
		if raw, ok := s.cached(known.Digest); ok {
			now, err := remote.Head(ref, from.options(ctx)...)
			switch {
			case err == nil && now.Digest == known.Digest:
				s.Digest = known.Digest
				return raw, nil
			case err != nil && final(err):
				return nil, from.explain(err, atTag)
			}
			// The tag has moved, or the registry can't do HEAD.
		}
	}
	raw, err := s.get(ctx, from)
	if err == nil {
		b.Cache.Save("base", ref.Name(), tagRecord{s.Digest})
	}
	return raw, err
}

// canonical is the reference in full. ggcr writes index.docker.io for docker.io.
func canonical(ref name.Reference) string {
	full := ref.Name()
	if d, ok := ref.(name.Digest); ok {
		// ggcr drops the tag of NAME:TAG@DIGEST, which says more to people.
		written, _, _ := strings.Cut(d.String(), "@")
		if i := strings.LastIndex(written, ":"); i > strings.LastIndex(written, "/") {
			full = d.Context().Name() + written[i:] + "@" + d.DigestStr()
		}
	}
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		return "docker.io/" + rest
	}
	return full
}

// cached returns the manifest or index h if the cache has it.
func (s *Source) cached(h v1.Hash) ([]byte, bool) {
	f, err := s.bases.Cache.Open(h)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	return raw, err == nil && len(raw) <= maxManifest
}

// get gets what the reference names, and puts it into the cache. The digest is
// computed: registries' headers are known to be wrong.
func (s *Source) get(ctx context.Context, from *repository) ([]byte, error) {
	got, err := remote.Get(from.ref, from.options(ctx)...)
	if err != nil {
		return nil, from.explain(err, atTag)
	}
	if len(got.Manifest) > maxManifest {
		return nil, fmt.Errorf("a manifest of %d bytes, more than the %d that one may have", len(got.Manifest), maxManifest)
	}
	if _, err := manifestType(got.Manifest); err != nil {
		if t := string(got.MediaType); !json.Valid(got.Manifest) && !strings.Contains(t, "json") {
			return nil, fmt.Errorf("registry %s answers with %q where a manifest should be: is it a registry?", from.host(), wording.Clip(t))
		}
		return nil, err
	}
	s.Digest, _, err = s.bases.Cache.Put(s.Digest, bytes.NewReader(got.Manifest))
	return got.Manifest, err
}

func (r *repository) host() string {
	if h := r.ref.Context().RegistryStr(); h != name.DefaultRegistry {
		return h
	}
	return "docker.io"
}

// final reports whether a GET after a HEAD that failed with err would fail, too.
func final(err error) bool {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
			return true
		}
		return answer.StatusCode >= 500
	}
	_, lost := errors.AsType[*url.Error](err)
	return lost || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// registryError explains a registry's answer. It wraps the answer, but doesn't print
// all of it: URLs have signatures, and bodies are pages of HTML.
type registryError struct {
	text string
	err  error
}

func (e *registryError) Error() string { return e.text }
func (e *registryError) Unwrap() error { return e.err }

// What to do about what the registry doesn't have.
const (
	atTag  = "check the name and the tag"
	atBlob = "the base is incomplete there and must be pushed again"
)

// explain says what an error of the registry means, and what to do; missing is what
// to do if it has no such thing. If the registry redirected the request, the error
// names that host.
func (r *repository) explain(err error, missing string) error {
	explained := func(format string, args ...any) error {
		return &registryError{fmt.Sprintf(format, args...), err}
	}
	answer, answered := errors.AsType[*transport.Error](err)
	lost, isLost := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case answered:
		return &registryError{r.answer(answer, missing), err}
	case isLost && strings.Contains(lost.Err.Error(), "server gave HTTP response to HTTPS client"):
		return explained("registry %s speaks plain HTTP: add %[1]q to Insecure if you trust it", r.host())
	case isLost:
		reason := wording.Clip(lost.Err.Error())
		if u, err := url.Parse(lost.URL); err == nil && u.Host != "" && u.Host != r.ref.Context().RegistryStr() {
			return explained("registry %s sends the request to %s, which can't be reached: %s", r.host(), wording.Clip(u.Host), reason)
		}
		return explained("registry %s can't be reached: %s", r.host(), reason)
	case strings.Contains(err.Error(), "no token in bearer response"):
		return explained("registry %s: the token server's answer has no token", r.host()) // ggcr shows all of it
	}
	return explained("registry %s: %s", r.host(), wording.Clip(err.Error()))
}

// answer says what an answer with an error status means.
func (r *repository) answer(a *transport.Error, missing string) string {
	var code, says string
	status := fmt.Sprint(a.StatusCode, " ", http.StatusText(a.StatusCode))
	if len(a.Errors) > 0 {
		if code = wording.Clip(string(a.Errors[0].Code)); code != "" {
			status += ", " + code
		}
		if message := diagnosis(a.Errors[0]); message != "" {
			says = "; it says: " + message
		}
	}
	registry := r.ref.Context().RegistryStr()
	elsewhere := a.Request != nil && a.Request.Response != nil && a.Request.URL.Host != registry
	login := "run docker login " + r.host()
	if problem := r.loginProblem(r.ref.Context()); problem != "" {
		login = problem
	}
	switch {
	case elsewhere:
		return fmt.Sprintf("registry %s sends the request to %s, which answers %s%s", r.host(), wording.Clip(a.Request.URL.Host), status, says)
	case a.StatusCode == http.StatusNotFound,
		code == string(transport.ManifestUnknownErrorCode), code == string(transport.NameUnknownErrorCode):
		return fmt.Sprintf("not found in the registry %s (%s): %s%s", r.host(), status, missing, says)
	case a.StatusCode == http.StatusUnauthorized, a.StatusCode == http.StatusForbidden:
		// Docker Hub answers so for repositories that don't exist.
		return fmt.Sprintf("registry %s wants a login, or has no such repository (%s): check the name, or %s%s", r.host(), status, login, says)
	case a.StatusCode == http.StatusTooManyRequests:
		return fmt.Sprintf("registry %s accepts no more requests for now (%s): wait, or run docker login %[1]s for a higher limit%[3]s", r.host(), status, says)
	}
	return fmt.Sprintf("registry %s fails (%s)%s", r.host(), status, says)
}

// diagnosis is what the registry says itself, besides a code: the message, and the
// detail, which may have any form.
func diagnosis(d transport.Diagnostic) string {
	text := d.Message
	if d.Detail != nil {
		if detail, err := json.Marshal(d.Detail); err == nil && string(detail) != "{}" && string(detail) != `""` {
			text = strings.TrimPrefix(text+": "+string(detail), ": ")
		}
	}
	return wording.Clip(text)
}
