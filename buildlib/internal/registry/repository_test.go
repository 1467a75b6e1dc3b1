package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

type keychain struct{ authn.AuthConfig }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(k.AuthConfig), nil
}

// tokens is a registry behind a token server.
type tokens struct {
	next http.Handler

	mu     sync.Mutex
	issued int
	expire int // the token expires at so many requests from now
	scopes []string
}

func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.URL.Path == "/token" {
		s.scopes = r.URL.Query()["scope"]
		json.NewEncoder(w).Encode(map[string]string{"token": fmt.Sprint("t", s.issued)})
		s.mu.Unlock()
		return
	}
	if s.expire--; s.expire == 0 {
		s.issued++
	}
	ok := r.Header.Get("Authorization") == fmt.Sprint("Bearer t", s.issued)
	s.mu.Unlock()
	if !ok {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.next.ServeHTTP(w, r)
}

func TestTokens(t *testing.T) {
	srv := newServer(t)
	guard := &tokens{next: srv.next}
	srv.next = guard
	c := client(t, Options{})
	repo, idx := repository(t, c, srv.host+"/acme/app"), testenv.TwoPlatforms(t)
	if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	srv.requests()
	if _, err := client(t, Options{}).Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if got := srv.requests(); len(got) != 3 {
		t.Errorf("an unchanged publication: %q, want handshake, token, HEAD", got)
	}
	// A token that runs out is renewed, whatever request it runs out on.
	for n := range 24 {
		guard.mu.Lock()
		guard.expire = n + 1
		guard.mu.Unlock()
		m := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 2000), testenv.RandomLayer(t, 500)))
		out, err := c.Publish(t.Context(), repository(t, c, srv.host+"/acme/app"), m, []string{"v1"}, Hooks{})
		if err != nil {
			t.Fatalf("token for %d requests: %v", n, err)
		}
		if out.Uploaded != 3 {
			t.Errorf("%+v", out)
		}
	}
}

// A layer of a base in the same registry is mounted, with a token that covers
// the base's repository.
func TestMount(t *testing.T) {
	var mounts []string
	srv := newServer(t, &fault{"POST /acme/app/blobs/", 0, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if from := r.URL.Query().Get("from"); from != "" {
			mounts = append(mounts, from+" "+r.URL.Query().Get("mount"))
			w.WriteHeader(http.StatusCreated)
			return
		}
		next.ServeHTTP(w, r)
	}})
	guard := &tokens{next: srv.next}
	srv.next = guard
	c := client(t, Options{Jobs: 1})
	base := testenv.RandomLayer(t, 500)
	far := testenv.RandomLayer(t, 500)
	nameOf := func(s string) name.Reference {
		ref, err := c.Reference(s)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	img := testenv.Image(t, "amd64",
		&remote.MountableLayer{Layer: base, Reference: nameOf(srv.host + "/base/alpine:3")},
		&remote.MountableLayer{Layer: far, Reference: nameOf("other.example/base/alpine:3")})
	out, err := c.Publish(t.Context(), repository(t, c, srv.host+"/acme/app"), testenv.Index(img), []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := base.Digest()
	if len(mounts) != 1 || mounts[0] != "base/alpine "+h.String() || out.Mounted != 1 || out.Uploaded != 2 {
		t.Errorf("mounted %q: %+v", mounts, out)
	}
	if got := strings.Join(guard.scopes, " "); got != "repository:acme/app:push,pull repository:base/alpine:pull" {
		t.Errorf("scopes %q", got)
	}
}

func TestMountRefused(t *testing.T) {
	srv := newServer(t)
	srv.faults = []*fault{{"POST /acme/app/blobs/", 0, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("from") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}}}
	c := client(t, Options{})
	ref, _ := c.Reference(srv.host + "/base/alpine:3")
	repo := repository(t, c, srv.host+"/acme/app")
	out, err := c.Publish(t.Context(), repo, testenv.Index(testenv.Image(t, "amd64", &remote.MountableLayer{Layer: testenv.RandomLayer(t, 500), Reference: ref})), []string{"v1"}, Hooks{})
	if err != nil || out.Uploaded != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	pullBack(t, repo, "v1", out.Digest)
}

// A registry that doesn't support HEAD may accept pushes.
func TestNoHeadOfBlobs(t *testing.T) {
	srv := newServer(t, &fault{"HEAD /blobs/", 0, 0, answer(http.StatusMethodNotAllowed)})
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	out, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err != nil || out.Uploaded != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	srv.heal()
	pullBack(t, repo, "v1", out.Digest)
}
