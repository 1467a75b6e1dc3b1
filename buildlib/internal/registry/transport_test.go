package registry

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestPlainHTTP(t *testing.T) {
	for _, test := range []struct {
		host     string
		insecure []string
		want     bool
	}{
		{"localhost", nil, true},
		{"localhost:5000", nil, true},
		{"127.0.0.1:5000", nil, true},
		{"127.3.2.1", nil, true},
		{"[::1]:5000", nil, true},
		{"x.localhost:5000", nil, false},
		{"10.1.2.3:5000", nil, false},
		{"192.168.1.1", nil, false},
		{"registry.local:5000", nil, false},
		{"registry.local:5000", []string{"registry.local"}, true},
		{"registry.local:5000", []string{"Registry.Local:5000"}, true},
		{"registry.local:5001", []string{"registry.local:5000"}, false},
		{"localhost.evil.com", nil, false},
	} {
		c := NewClient(t.Context(), Options{Insecure: test.insecure})
		if got := c.o.plain(test.host); got != test.want {
			t.Errorf("%s with %q: %t, want %t", test.host, test.insecure, got, test.want)
		}
		ref, err := c.Reference(test.host + "/a/b:c")
		if err != nil {
			t.Error(err)
		} else if test.want && ref.Context().Scheme() != "http" {
			t.Errorf("%s with %q: scheme %s", test.host, test.insecure, ref.Context().Scheme())
		}
	}
}

// ggcr speaks plain HTTP to private addresses; this transport doesn't. The
// proxy stands for the network.
func TestPlainHTTPIsRefused(t *testing.T) {
	srv := newServer(t)
	for _, host := range []string{"10.255.255.1:5000", "registry.localhost:5000", "plain.example:5000"} {
		c := client(t, Options{Patience: 20 * time.Millisecond})
		to(c, srv)
		_, err := c.Publish(t.Context(), repository(t, c, host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("add %q to Insecure", host)) {
			t.Errorf("%s: %v", host, err)
		}
		if got := srv.requests(); len(got) > 0 {
			t.Errorf("%s was asked %q", host, got)
		}
		c = client(t, Options{Insecure: []string{host}})
		to(c, srv)
		if _, err := c.Publish(t.Context(), repository(t, c, host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{}); err != nil {
			t.Errorf("%s, named insecure: %v", host, err)
		}
		srv.requests()
	}
}

// to makes every address that of srv.
func to(c *Client, srv *server) {
	c.wire.base.DialContext = (&net.Dialer{}).DialContext
	dial := c.wire.base.DialContext
	c.wire.base.Proxy = nil
	c.wire.base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, srv.host)
	}
}

// A registry that is spoken to in TLS can't lead to plain HTTP, not even on
// loopback.
func TestNoDowngrade(t *testing.T) {
	var plain atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { plain.Add(1) }))
	defer target.Close()
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	for _, path := range []string{"/manifests/", "/blobs/uploads/"} {
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, path) && r.Method == http.MethodPost {
				w.Header().Set("Location", target.URL+"/upload?secret=x")
				w.WriteHeader(http.StatusAccepted)
				return
			}
			if strings.Contains(r.URL.Path, path) && r.Method == http.MethodHead {
				http.Redirect(w, r, target.URL+"/m", http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, r)
		}))
		c := client(t, Options{Patience: 20 * time.Millisecond})
		c.wire.base.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
		// Not a loopback address to the client.
		addr := strings.TrimPrefix(srv.URL, "https://")
		c.wire.base.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			if strings.HasPrefix(to, "example.com:") {
				to = addr
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		}
		_, err := c.Publish(t.Context(), repository(t, c, "example.com/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", path, err)
		}
		srv.Close()
	}
	if n := plain.Load(); n > 0 {
		t.Errorf("%d requests went out in plain HTTP", n)
	}
}

// Errors and logs leave out what upload locations and token servers put into
// queries.
func TestNoSecretsInErrors(t *testing.T) {
	var logged logf
	srv := newServer(t,
		&fault{"POST /blobs/", 0, 0, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Location", "/v2/upload?_state=HUSH")
			w.WriteHeader(http.StatusAccepted)
		}},
		&fault{"PUT /v2/upload", 0, 0, reset})
	keys := keychain{authn.AuthConfig{Username: "me", Password: "HUSH"}}
	c := client(t, Options{Patience: 20 * time.Millisecond, Log: logged.log, Keychain: keys})
	_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err == nil || strings.Contains(err.Error()+logged.String(), "HUSH") || !strings.Contains(err.Error(), "push blob sha256:") {
		t.Errorf("error %v, log %s", err, logged.String())
	}
	if logged.Len() == 0 {
		t.Error("nothing was logged")
	}
}

// Pulls through the client survive answers that break off, and waits that the
// registry asks for are kept by all requests to it.
func TestRemote(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo, idx := repository(t, c, srv.host+"/acme/app"), testenv.TwoPlatforms(t)
	if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	srv.mu.Lock()
	srv.faults = []*fault{
		{"GET /manifests/", 0, 1, answer(503)},
		{"GET /blobs/", 0, 1, reset},
		{"GET /blobs/", 0, 2, truncate},
		{"GET /blobs/", 1, 1, answer(429, "Retry-After", "0")},
	}
	srv.mu.Unlock()
	pullBack(t, repo, "v1", testenv.Digest(t, idx), c.Remote()...)
	for _, f := range srv.faults {
		if f.times != -1 {
			t.Errorf("fault at %s did not happen", f.match)
		}
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	c := client(t, Options{Patience: 30 * time.Millisecond})
	_, err = c.Publish(t.Context(), repository(t, c, host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err == nil || !strings.Contains(err.Error(), host+"/a/b: log in: gave up after ") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	// A registry that is still starting is waited for.
	c = client(t, Options{})
	started := make(chan *httptest.Server, 1)
	time.AfterFunc(100*time.Millisecond, func() {
		l, err := net.Listen("tcp", host)
		if err != nil {
			started <- nil
			return
		}
		srv := &httptest.Server{Listener: l, Config: &http.Server{
			Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ErrorLog: log.New(io.Discard, "", 0)}}
		srv.Start()
		started <- srv
	})
	_, err = c.Publish(t.Context(), repository(t, c, host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if srv := <-started; srv == nil {
		t.Skip("the port was taken meanwhile")
	} else {
		srv.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestUserAgent(t *testing.T) {
	var agents sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents.Store(r.UserAgent(), true)
	}))
	defer srv.Close()
	c := client(t, Options{})
	ref, _ := c.Reference(strings.TrimPrefix(srv.URL, "http://") + "/a/b:c")
	remote.Head(ref, c.Remote()...)
	agents.Range(func(k, _ any) bool {
		if k != "multimage" {
			t.Errorf("user agent %q", k)
		}
		return true
	})
}

// A host that the registry leads to is named when it fails, and not told how to
// log in to the registry.
func TestHostOfARedirectIsNamed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			t.Errorf("it got the credentials %s", auth)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer other.Close()
	for to, want := range map[string]string{
		other.URL:                other.Listener.Addr().String() + ": 403 Forbidden",
		"http://nowhere.invalid": "refusing plain HTTP to nowhere.invalid",
	} {
		srv := newServer(t,
			&fault{"GET /v2/", 0, 1, answer(401, "WWW-Authenticate", "Basic realm=x")},
			&fault{"PUT /manifests/", 0, 0, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				http.Redirect(w, r, to+"/x?token=0123456789", http.StatusTemporaryRedirect)
			}})
		c := client(t, Options{Patience: 20 * time.Millisecond, Keychain: keychain{authn.AuthConfig{Username: "me", Password: "open-sesame"}}})
		_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "docker login") || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
