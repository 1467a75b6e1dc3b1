package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// drip sends a byte every now and then, for ever.
func drip(every time.Duration) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		for r.Context().Err() == nil {
			w.Write([]byte{' '})
			w.(http.Flusher).Flush()
			time.Sleep(every)
		}
	}
}

// flood sends as fast as it can, for ever.
func flood(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	for block := make([]byte, 1<<20); r.Context().Err() == nil; {
		w.Write(block)
	}
}

// What others send has an end, also if they see none.
func TestAnswersWithoutEnd(t *testing.T) {
	loop := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}
	token := func(next func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if r.URL.Path == "/v2/" {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next(w, r, h)
		}
	}
	for _, test := range []struct {
		name, match string
		do          func(http.ResponseWriter, *http.Request, http.Handler)
		want        string // in the error; empty: none
		most        int    // requests
	}{
		{"redirects", "GET /manifests/", loop, "stopped after 10 redirects", 15},
		{"ping, slow", "GET /v2/", drip(10 * time.Millisecond), "not found", 100},
		{"ping, endless", "GET /v2/", flood, "not found", 100},
		{"manifest, slow", "GET /manifests/", drip(10 * time.Millisecond), "stalled", 100},
		{"manifest, too slow", "GET /manifests/", drip(10 * time.Millisecond), "takes too long to answer", 100},
		{"manifest, endless", "GET /manifests/", flood, "a manifest of more than 16777216 bytes", 5},
		{"token, slow", "GET /", token(drip(10 * time.Millisecond)), "stalled", 100},
		{"token, endless", "GET /", token(flood), "limit", 100},
		{"token, redirects", "GET /", token(loop), "redirects", 50},
		{"error, slow", "GET /manifests/", func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			w.WriteHeader(http.StatusBadRequest)
			drip(10*time.Millisecond)(w, r, h)
		}, "stalled", 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, &fault{test.match, 0, 0, test.do})
			o := Options{Patience: 100 * time.Millisecond, Stall: 100 * time.Millisecond}
			if strings.Contains(test.name, "too slow") {
				o.Stall = time.Hour
			}
			c := client(t, o)
			c.wire.answer = 300 * time.Millisecond
			start := time.Now()
			_, err := remote.Get(repository(t, c, srv.host+"/a/b").Tag("v1"), c.Remote()...)
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), test.want) && test.want != "not found" {
				t.Errorf("%v, want %q", err, test.want)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %s", d)
			}
			if n := len(srv.requests()); n > test.most {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// They end at once with the run, too.
func TestAnswersEndWithTheRun(t *testing.T) {
	for _, match := range []string{"GET /v2/", "GET /manifests/"} {
		srv := newServer(t, &fault{match, 0, 0, drip(time.Millisecond)})
		c := client(t, Options{Stall: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(200*time.Millisecond, cancel)
		start := time.Now()
		_, err := remote.Get(repository(t, c, srv.host+"/a/b").Tag("v1"), append(c.Remote(), remote.WithContext(ctx))...)
		if d := time.Since(start); err == nil || d > 1900*time.Millisecond {
			t.Errorf("%s: %v after %s", match, err, d)
		}
	}
}

// dropping serves blob, and breaks off after size bytes each time.
func dropping(blob []byte, size int, after time.Duration, ranges bool) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		rest, status := blob, http.StatusOK
		var first, last int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); ranges && n > 0 {
			rest, status = blob[first:], http.StatusPartialContent
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(blob)-1, len(blob)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
		w.WriteHeader(status)
		w.Write(rest[:min(size, len(rest))])
		w.(http.Flusher).Flush()
		time.Sleep(after)
		if size < len(rest) {
			panic(http.ErrAbortHandler)
		}
	}
}

// A download that gets on goes on, however often the connection breaks; one
// that doesn't ends.
func TestDownloadsGoOn(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	digest, _, err := v1.SHA256(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		size   int
		ranges bool
		want   bool
	}{
		{"progress", 2 << 10, true, true},
		{"no progress", 1, true, false},
		{"no ranges", 20 << 10, false, false},
	} {
		srv := newServer(t, &fault{"GET /blobs/", 0, 0, dropping(blob, test.size, 20*time.Millisecond, test.ranges)})
		c := client(t, Options{Patience: 60 * time.Millisecond})
		l, err := remote.Layer(repository(t, c, srv.host+"/a/b").Digest(digest.String()), c.Remote()...)
		if err != nil {
			t.Fatal(err)
		}
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if ok := err == nil && bytes.Equal(got, blob); ok != test.want {
			t.Errorf("%s: %d of %d bytes, %v", test.name, len(got), len(blob), err)
		}
		if n := len(srv.requests()); n > 100 {
			t.Errorf("%s: %d requests", test.name, n)
		}
	}
}

// What was lost in the middle of the rest is asked for again.
func TestDownloadWithoutRanges(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	digest, _, _ := v1.SHA256(bytes.NewReader(blob))
	srv := newServer(t,
		&fault{"GET /blobs/", 0, 1, dropping(blob, 20<<10, 0, false)},
		&fault{"GET /blobs/", 0, 2, dropping(blob, 10<<10, 0, false)},
		&fault{"GET /blobs/", 0, 0, dropping(blob, len(blob), 0, false)})
	c := client(t, Options{})
	l, err := remote.Layer(repository(t, c, srv.host+"/a/b").Digest(digest.String()), c.Remote()...)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("%d of %d bytes, %v", len(got), len(blob), err)
	}
}

// A tag that moves while its manifest is read is an error, and not a part of a
// manifest; a server may send less of the rest than it was asked for.
func TestShortenedRest(t *testing.T) {
	manifest := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	shorter := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 20<<10, 20<<10+9, len(manifest)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(manifest[:10])
	}
	for name, second := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"moved": dropping(manifest[:1<<10], 1<<10, 0, false), "part": shorter,
	} {
		srv := newServer(t,
			&fault{"GET /manifests/", 0, 1, dropping(manifest, 20<<10, 0, true)},
			&fault{"GET /manifests/", 0, 1, second},
			&fault{"GET /manifests/", 0, 0, dropping(manifest, len(manifest), 0, true)})
		c := client(t, Options{})
		_, m, err := c.Manifest(t.Context(), repository(t, c, srv.host+"/a/b").Tag("v1"))
		if got := err == nil && bytes.Equal(m.Raw, manifest); got != (name == "part") || err == nil && !got {
			t.Errorf("%s: %d of %d bytes, %v", name, len(m.Raw), len(manifest), err)
		}
	}
}

// The error of a download whose login has expired says so: the caller can start over.
func TestDownloadExpires(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	digest, _, _ := v1.SHA256(bytes.NewReader(blob))
	srv := newServer(t,
		&fault{"GET /blobs/", 0, 1, dropping(blob, 20<<10, 0, true)},
		&fault{"GET /blobs/", 0, 0, answer(http.StatusForbidden)})
	c := client(t, Options{})
	l, _ := remote.Layer(repository(t, c, srv.host+"/a/b").Digest(digest.String()), c.Remote()...)
	rc, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	var expired *Expired
	if _, err := io.ReadAll(rc); !errors.As(err, &expired) || expired.Status != http.StatusForbidden {
		t.Errorf("%v", err)
	}
}

// What isn't the network's fault is not tried again, whatever its error is.
func TestLocalFaultsAreNotRetried(t *testing.T) {
	for _, fault := range []error{io.ErrUnexpectedEOF, io.EOF, errors.New("http2: of mine")} {
		srv := newServer(t)
		var logged logf
		c := client(t, Options{Log: logged.log, Patience: time.Minute})
		idx := testenv.Index(testenv.Image(t, "amd64", brokenLayer{static.NewLayer([]byte("x"), types.OCILayer), fault}))
		_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), idx, []string{"v1"}, Hooks{})
		if err == nil || logged.Len() > 0 {
			t.Errorf("%v: error %v, log %s", fault, err, logged.String())
		}

		c = client(t, Options{Log: logged.log, Patience: time.Minute, Keychain: brokenKeychain{fault}})
		_, err = c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		if err == nil || logged.Len() > 0 {
			t.Errorf("%v, of a keychain: error %v, log %s", fault, err, logged.String())
		}
	}
}

type brokenLayer struct {
	v1.Layer
	err error
}

func (l brokenLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(&failingReader{l.err})), nil
}

type failingReader struct{ err error }

func (r *failingReader) Read(p []byte) (int, error) {
	if r.err == io.EOF {
		return 0, fmt.Errorf("ended: %w", r.err) // readers take a bare one for the end
	}
	return 0, r.err
}

type brokenKeychain struct{ err error }

func (k brokenKeychain) Resolve(authn.Resource) (authn.Authenticator, error) { return nil, k.err }

// The first failure is reported at once, and others during the wait are not.
func TestWaitsAreReported(t *testing.T) {
	var mu sync.Mutex
	var reports []string
	srv := newServer(t, &fault{"GET /v2/", 0, 3, answer(503)}, &fault{"POST /blobs/", 0, 5, reset})
	c := client(t, Options{Wait: func(text string) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, text)
	}})
	if _, err := c.Publish(t.Context(), repository(t, c, srv.host+"/a/b"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if want := "registry " + srv.host + ": 503 Service Unavailable: trying again, for up to 10s"; len(reports) != 1 || reports[0] != want {
		t.Errorf("reported %q, want %q", reports, want)
	}
	c.wire.reported[srv.host] = time.Now().Add(-reportEvery)
	c.wire.report(srv.host, "still down")
	c.wire.report(srv.host, "still down")
	if len(reports) != 2 || !strings.Contains(reports[1], "still down") {
		t.Errorf("reported %q", reports)
	}
}

// Patience is a registry's, not each image's: the second one asks once.
func TestRegistryThatIsDown(t *testing.T) {
	var waits atomic.Int32
	srv := newServer(t, &fault{"GET /v2/", 0, 1 << 30, answer(503)})
	c := client(t, Options{Patience: 300 * time.Millisecond, Log: func(format string, args ...any) {
		if strings.Contains(fmt.Sprintf(format, args...), "trying again") {
			waits.Add(1)
		}
	}})
	publish := func(name string) (int32, error) {
		before := waits.Load()
		_, err := c.Publish(t.Context(), repository(t, c, srv.host+"/"+name), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
		return waits.Load() - before, err
	}
	if n, err := publish("a"); n == 0 || err == nil || !strings.Contains(err.Error(), "gave up after") {
		t.Errorf("first: %d waits, error %v", n, err)
	}
	if n, err := publish("b"); n != 0 || err == nil || !strings.Contains(err.Error(), "503") || strings.Contains(err.Error(), "asks to wait") {
		t.Errorf("second: %d waits, error %v", n, err)
	}
}

// A certificate that isn't trusted is the fault, also where plain HTTP would be
// allowed and is answered with 400.
func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := client(t, Options{Patience: 20 * time.Millisecond})
	repo := repository(t, c, strings.TrimPrefix(srv.URL, "https://")+"/a/b")
	_, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err == nil || !strings.Contains(err.Error(), "x509: ") || strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("push: %v", err)
	}
	_, err = remote.Get(repo.Tag("v1"), c.Remote()...)
	if err == nil || !strings.Contains(err.Error(), "x509: ") || strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("pull: %v", err)
	}
}
