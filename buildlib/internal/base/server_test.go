package base

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/store"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// blobLayer is a layer of given bytes and claims.
type blobLayer struct {
	blob      []byte
	diffID    v1.Hash
	mediaType types.MediaType
}

func (l blobLayer) Digest() (v1.Hash, error)            { return testenv.SHA256(l.blob), nil }
func (l blobLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l blobLayer) Size() (int64, error)                { return int64(len(l.blob)), nil }
func (l blobLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l blobLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.blob)), nil
}
func (l blobLayer) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not needed") }

func layerOf(t testing.TB, items ...testenv.Entry) blobLayer {
	plain := testenv.Tar(t, items...)
	return blobLayer{testenv.Gzip(t, plain), testenv.SHA256(plain), types.OCILayer}
}

// imageOf returns an OCI image for the platform.
func imageOf(t testing.TB, platform string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, l := range layers {
		adds = append(adds, mutate.Addendum{Layer: l})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		t.Fatal(err)
	}
	return withPlatform(t, img, platform)
}

func withPlatform(t testing.TB, img v1.Image, platform string) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// simple returns an image whose only layer is its own.
func simple(t testing.TB, platform string) v1.Image {
	return imageOf(t, platform, layerOf(t, testenv.File("etc/passwd", 0o644, platform)))
}

func indexOf(t testing.TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	var adds []mutate.IndexAddendum
	for _, p := range platforms {
		adds = append(adds, addendum(t, simple(t, p), p))
	}
	return mutate.AppendManifests(empty.Index, adds...)
}

func addendum(t testing.TB, add mutate.Appendable, platform string) mutate.IndexAddendum {
	t.Helper()
	a := mutate.IndexAddendum{Add: add}
	if platform != "" {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		a.Platform = p
	}
	return a
}

func sumOf(t testing.TB, d interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func platformOf(t testing.TB, s string) v1.Platform {
	t.Helper()
	p, err := v1.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return *p
}

// server is a registry that keeps count of what it is asked. Set answer to
// have it misbehave: it reports whether it has answered.
type server struct {
	*httptest.Server
	host   string
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	asked []string // like "GET manifests/1.0"
}

func newServer(t testing.TB) *server {
	s := &server{}
	behind := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+strings.Join(parts[max(0, len(parts)-2):], "/"))
		answer := s.answer
		s.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.host = u.Host
	return s
}

// requests returns what was asked since the last call, but for the ping.
func (s *server) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, r := range s.asked {
		if r != "GET v2/" {
			got = append(got, r)
		}
	}
	s.asked = nil
	return strings.Join(got, ", ")
}

func (s *server) misbehave(answer func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// push puts what into the registry and returns its reference.
func (s *server) push(t testing.TB, ref string, what remote.Taggable) string {
	t.Helper()
	ref = s.host + "/" + ref
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch w := what.(type) {
	case v1.Image:
		err = remote.Write(parsed, w)
	case v1.ImageIndex:
		err = remote.WriteIndex(parsed, w)
	default:
		err = remote.Put(parsed, w)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.requests()
	return ref
}

// newResolver returns a Resolver as a process of its own would have them, with the
// cache in the folder.
func newResolver(t testing.TB, cache string) *Resolver {
	t.Helper()
	s, err := store.Open(context.Background(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Resolver{
		Cache: s,
		Remote: []remote.Option{
			remote.WithContext(context.Background()),
			remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		},
	}
}

func resolve(t testing.TB, b *Resolver, ref string) *Source {
	t.Helper()
	s, err := b.Resolve(context.Background(), ref, v1.Hash{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func baseFor(t testing.TB, s *Source, platform string) *Base {
	t.Helper()
	base, err := s.For(context.Background(), platformOf(t, platform))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// baseError returns the error of resolving ref and getting the platform.
func baseError(b *Resolver, ref, platform string) error {
	s, err := b.Resolve(context.Background(), ref, v1.Hash{})
	if err != nil {
		return err
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return err
	}
	_, err = s.For(context.Background(), *p)
	return err
}

func wantError(t testing.TB, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got error %v\nwant it to say: %s", err, w)
		}
	}
}

func readLayer(t testing.TB, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
