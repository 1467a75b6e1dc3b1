package registry

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// fault is what happens to requests instead of, or before, being served.
type fault struct {
	match string // method and a part of the path: "PUT /manifests/latest"
	skip  int    // so many matches are left alone
	times int    // so many matches are hit; 0: all
	do    func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// server is a registry with faults that remembers what it was asked.
type server struct {
	*httptest.Server
	host string
	next http.Handler

	mu     sync.Mutex
	log    []string
	faults []*fault
}

func newServer(t *testing.T, faults ...*fault) *server {
	t.Helper()
	s := &server{next: registry.New(registry.Logger(log.New(io.Discard, "", 0))), faults: faults}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of ggcr's TLS attempts
	s.Start()
	s.host = strings.TrimPrefix(s.URL, "http://")
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.log = append(s.log, r.Method+" "+r.URL.Path)
	var hit *fault
	for _, f := range s.faults {
		method, path, _ := strings.Cut(f.match, " ")
		if r.Method != method || !strings.Contains(r.URL.Path, path) || f.times < 0 {
			continue
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		if f.times > 0 {
			if f.times--; f.times == 0 {
				f.times = -1
			}
		}
		hit = f
		break
	}
	s.mu.Unlock()
	if hit != nil {
		hit.do(w, r, s.next)
		return
	}
	s.next.ServeHTTP(w, r)
}

// heal ends all faults.
func (s *server) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// requests returns what was asked since the last call.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.log
	s.log = nil
	return all
}

func count(requests []string, prefix string) int {
	n := 0
	for _, r := range requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func answer(code int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func diagnose(code int, ident string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"as told"}]}`, ident)
	}
}

func reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// resetMidway takes some of the data, then goes away.
func resetMidway(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.CopyN(io.Discard, r.Body, 100)
	panic(http.ErrAbortHandler)
}

func stall(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.Copy(io.Discard, r.Body) // so that the server notices the client leave
	<-r.Context().Done()
}

// truncate answers with half of the body that it promises.
func truncate(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
}

// stallMidway answers with half of the body, then nothing.
func stallMidway(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// served serves, then loses the answer.
func served(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

type logf struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logf) log(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l, format+"\n", args...)
}

// client returns one that is quick to try again and to give up.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain()
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = 500 * time.Millisecond // of a machine that does much else, too
	}
	if o.Log == nil {
		o.Log = t.Logf
	}
	c := NewClient(t.Context(), o)
	c.wire.firstWait = time.Millisecond
	t.Cleanup(c.Close)
	return c
}

func repository(t *testing.T, c *Client, s string) name.Repository {
	t.Helper()
	repo, err := c.Repository(s)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// pullBack asserts that whoever pulls the tag gets the whole index.
func pullBack(t *testing.T, repo name.Repository, tag string, want v1.Hash, o ...remote.Option) {
	t.Helper()
	idx, err := remote.Index(repo.Tag(tag), o...)
	if err != nil {
		t.Fatal(err)
	}
	if got := testenv.Digest(t, idx); got != want {
		t.Errorf("tag %s: got %s, want %s", tag, got, want)
	}
	if err := validate.Index(idx); err != nil {
		t.Errorf("tag %s: %v", tag, err)
	}
}
