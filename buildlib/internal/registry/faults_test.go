package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Faults that pass: the publication succeeds all the same.
func TestPublishThroughFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fault
	}{
		{"503 at the handshake", fault{"GET /v2/", 0, 2, answer(503)}},
		{"reset at the handshake", fault{"GET /v2/", 0, 1, reset}},
		{"429 at a tag", fault{"HEAD /manifests/v1", 0, 2, answer(429, "Retry-After", "0")}},
		{"403 for what is missing", fault{"HEAD /manifests/", 0, 0, answer(403)}},
		{"no digest in the answer", fault{"HEAD /manifests/", 0, 0, answer(200)}},
		{"500 at a blob's look", fault{"HEAD /blobs/", 0, 3, answer(500)}},
		{"502 at a blob's begin", fault{"POST /blobs/", 1, 2, answer(502)}},
		{"504 at a blob's data", fault{"PUT /blobs/", 1, 2, answer(504)}},
		{"408 at a blob's data", fault{"PUT /blobs/", 1, 1, answer(408)}},
		{"reset in a blob's data", fault{"PUT /blobs/", 0, 3, resetMidway}},
		{"stall in a blob's data", fault{"PUT /blobs/", 2, 1, stall}},
		{"stall at a blob's look", fault{"HEAD /blobs/", 2, 1, stall}},
		{"answer to a blob's data lost", fault{"PUT /blobs/", 1, 1, served}},
		{"unknown upload", fault{"PUT /blobs/", 1, 2, diagnose(404, "BLOB_UPLOAD_UNKNOWN")}},
		{"invalid upload", fault{"PUT /blobs/", 1, 2, diagnose(400, "BLOB_UPLOAD_INVALID")}},
		{"range of an upload", fault{"PUT /blobs/", 1, 1, answer(416)}},
		{"unknown blob of a child", fault{"PUT /manifests/sha256:", 0, 3, diagnose(400, "MANIFEST_BLOB_UNKNOWN")}},
		{"unknown child of the index", fault{"PUT /manifests/sha256:", 2, 2, diagnose(404, "MANIFEST_UNKNOWN")}},
		{"unknown index of a tag", fault{"PUT /manifests/v1", 0, 2, diagnose(404, "MANIFEST_UNKNOWN")}},
		{"503 at a tag", fault{"PUT /manifests/v1", 0, 2, answer(503)}},
		{"answer to a tag lost", fault{"PUT /manifests/v1", 0, 1, served}},
		{"reset when reading back", fault{"GET /manifests/v1", 0, 2, reset}},
		{"truncated when reading back", fault{"GET /manifests/v1", 0, 1, truncate}},
		{"stall when reading back", fault{"GET /manifests/v1", 0, 1, stallMidway}},
		{"late when reading back", fault{"GET /manifests/v1", 0, 2, answer(404)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, &test.fault)
			c := client(t, Options{})
			repo := repository(t, c, srv.host+"/acme/app")
			idx := testenv.TwoPlatforms(t)
			var last Event
			out, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{Progress: func(e Event) { last = e }})
			if err != nil {
				t.Fatal(err)
			}
			if last.Sent < out.Bytes || (last.Sent != last.Total && !strings.Contains(test.name, "lost")) {
				t.Errorf("progress ended at %+v, uploaded %d", last, out.Bytes)
			}
			srv.heal()
			pullBack(t, repo, "v1", out.Digest)
		})
	}
}

// A registry that says it has a blob and then doesn't know it is sent it
// after all.
func TestPublishToForgetful(t *testing.T) {
	srv := newServer(t,
		&fault{"HEAD /blobs/", 0, 0, answer(200)},
		&fault{"PUT /manifests/sha256:", 0, 4, diagnose(400, "MANIFEST_BLOB_UNKNOWN")})
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	out, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Uploaded == 0 {
		t.Errorf("nothing was uploaded: %+v", out)
	}
	pullBack(t, repo, "v1", out.Digest)
}

// Faults that stay: the error says what, where and what to do about it.
func TestPublishFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fault
		tries int // requests that match; 0: several
		want  []string
	}{
		{"logged out", fault{"HEAD /manifests/v1", 0, 0, answer(401)}, 1,
			[]string{"/acme/app: look at v1: 401 Unauthorized", "docker login"}},
		{"no permission", fault{"POST /blobs/", 0, 0, diagnose(403, "DENIED")}, 0,
			[]string{"/acme/app: push blob sha256:", "bytes): 403 Forbidden: DENIED as told", "no push permission to "}},
		{"read-only", fault{"POST /blobs/", 0, 0, diagnose(405, "UNSUPPORTED")}, 0,
			[]string{"push blob sha256:", "405 Method Not Allowed: UNSUPPORTED", "read-only"}},
		{"no such repository", fault{"POST /blobs/", 0, 0, diagnose(404, "NAME_UNKNOWN")}, 0,
			[]string{"create the repository acme/app first"}},
		{"too large", fault{"PUT /blobs/", 0, 0, answer(413)}, 0, []string{"client_max_body_size"}},
		{"invalid manifest", fault{"PUT /manifests/sha256:", 2, 0, diagnose(400, "MANIFEST_INVALID")}, 3,
			[]string{"push index sha256:", "400 Bad Request: MANIFEST_INVALID as told"}},
		{"immutable tag", fault{"PUT /manifests/v1", 0, 0, answer(412)}, 1,
			[]string{"push tag v1", "may not be moved"}},
		{"down", fault{"PUT /manifests/v1", 0, 0, answer(503)}, 0,
			[]string{"push tag v1: gave up after ", " tries in ", ": 503 Service Unavailable"}},
		{"resets", fault{"PUT /blobs/", 0, 0, resetMidway}, 0,
			[]string{"push blob sha256:", "gave up after "}},
		{"unknown for good", fault{"PUT /manifests/v1", 0, 0, diagnose(404, "MANIFEST_UNKNOWN")}, 0,
			[]string{"push tag v1", "MANIFEST_UNKNOWN", "(gave up after "}},
		{"away for long", fault{"HEAD /manifests/v1", 0, 0, answer(429, "Retry-After", "3600")}, 1,
			[]string{"look at v1: the registry asks to wait for 1h0m0s", "429 Too Many Requests"}},
		{"away until tomorrow", fault{"HEAD /manifests/v1", 0, 0, answer(429, "Retry-After", time.Now().Add(24*time.Hour).UTC().Format(http.TimeFormat))}, 1,
			[]string{"look at v1", "429 Too Many Requests"}},
		{"a page", fault{"HEAD /manifests/v1", 0, 0, answer(400)}, 1, []string{"look at v1: 400 Bad Request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, &test.fault)
			c := client(t, Options{Patience: 60 * time.Millisecond})
			repo := repository(t, c, srv.host+"/acme/app")
			_, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(test.want, srv.host) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			if n := strings.Count(err.Error(), "push "); n > 2 {
				t.Errorf("error repeats itself: %v", err)
			}
			method, path, _ := strings.Cut(test.fault.match, " ")
			if n := count(srv.requests(), method+" /v2/acme/app"+path); test.tries > 0 && n != test.tries {
				t.Errorf("%d requests of the kind, want %d", n, test.tries)
			}
			srv.heal()
			if _, err := remote.Head(repo.Tag("v1")); err == nil {
				t.Error("the tag was moved")
			}
		})
	}
}

func TestReadBack(t *testing.T) {
	other := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	idx := testenv.TwoPlatforms(t)
	srv := newServer(t, &fault{"GET /manifests/v1", 0, 0, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Docker-Content-Digest", testenv.Digest(t, idx).String()) // a lie
		w.Write(other)
	}})
	c := client(t, Options{})
	_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/acme/app"), idx, []string{"v1"}, Hooks{})
	got, _, _ := v1.SHA256(bytes.NewReader(other))
	for _, want := range []string{"read back tag v1", "got " + got.String(), "want " + testenv.Digest(t, idx).String()} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

// A tag that the registry says has another digest is written, whatever is
// there.
func TestWrongDigestHeader(t *testing.T) {
	srv := newServer(t, &fault{"HEAD /manifests/", 0, 0, answer(200, "Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))})
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	out, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	srv.heal()
	pullBack(t, repo, "v1", out.Digest)
}

func TestPublishInterrupted(t *testing.T) {
	for _, do := range []func(http.ResponseWriter, *http.Request, http.Handler){stall, answer(503)} {
		srv := newServer(t, &fault{"PUT /blobs/", 0, 0, do})
		c := client(t, Options{Stall: time.Hour, Patience: time.Hour})
		c.wire.firstWait = time.Hour / 100
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupted := errors.New("interrupted")
		time.AfterFunc(50*time.Millisecond, func() { cancel(interrupted) })
		start := time.Now()
		_, err := c.Publish(ctx, repository(t, c, srv.host+"/acme/app"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		if !errors.Is(err, interrupted) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %s to end", d)
		}
	}
}

// A blob that turns out to be corrupt while it is sent is sent again: its cache
// has dropped it, and makes it anew.
func TestPublishCorruptCache(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	good := testenv.RandomLayer(t, 1000)
	once := &corruptOnce{Layer: good, bad: testenv.Broken(good, fmt.Errorf("cache: %w", disk.ErrContent))}
	out, err := c.Publish(t.Context(), repo, testenv.Index(testenv.Image(t, "amd64", once)), []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if once.opened != 2 {
		t.Errorf("opened %d times, want twice", once.opened)
	}
	pullBack(t, repo, "v1", out.Digest)
}

type corruptOnce struct {
	v1.Layer
	bad    v1.Layer
	opened int
}

func (l *corruptOnce) Compressed() (io.ReadCloser, error) {
	if l.opened++; l.opened == 1 {
		return l.bad.Compressed()
	}
	return l.Layer.Compressed()
}
