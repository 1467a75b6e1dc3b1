package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what goes wrong with one request on its way through a Proxy. The
// zero value is nothing.
type Fault string

// The faults of servers, proxies and networks.
const (
	TooMany      Fault = "429"
	TooManyWait  Fault = "429, a second to wait"
	TooManyUntil Fault = "429, a date to wait for"
	Internal     Fault = "500"
	BadGateway   Fault = "502"
	Unavailable  Fault = "503"
	Reset        Fault = "reset"            // before anything is read
	ResetMidway  Fault = "reset in data"    // after half of the request's body
	Lost         Fault = "lost answer"      // carried out, then reset
	Stall        Fault = "stall"            // nothing comes back
	StallData    Fault = "stall in data"    // from half of the request's body on nothing is read
	StallMidway  Fault = "stall in answer"  // after half of the answer's body
	CutOff       Fault = "truncated answer" // closed after half of the body
	WrongDigest  Fault = "wrong digest"     // a Docker-Content-Digest of something else
)

// Faults are all of them.
var Faults = []Fault{
	TooMany, TooManyWait, TooManyUntil, Internal, BadGateway, Unavailable,
	Reset, ResetMidway, Lost, Stall, StallData, StallMidway, CutOff, WrongDigest,
}

// statuses are the faults that are an answer of that status.
var statuses = map[Fault]int{
	TooMany: 429, TooManyWait: 429, TooManyUntil: 429, Internal: 500, BadGateway: 502, Unavailable: 503,
}

// Request is one that a Proxy got.
type Request struct {
	// What is the method and what of the repository is asked for:
	// "GET /v2/", "HEAD blobs/sha256:...", "POST uploads",
	// "PUT uploads/sha256:...", "PUT manifests/v1". With Occurrence it names
	// the same request in every run that does the same.
	What       string
	Occurrence int // of What, from 0
	Repository string
	At         time.Time
	Length     int64 // of the body, as announced
	Read       int64 // of the body, as it came
	Status     int   // of the answer; 0: there was none
	Fault      Fault
}

// Blob is the digest of the blob that the request sends; empty if it sends
// none.
func (r Request) Blob() string {
	digest, _ := strings.CutPrefix(r.What, "PUT uploads/")
	if digest == r.What {
		return ""
	}
	return digest
}

// Suffers reports whether the fault can happen to the request, judged by how it
// went without one.
func (r Request) Suffers(f Fault) bool {
	switch f {
	case ResetMidway, StallData:
		return r.Length > 0
	case StallMidway, CutOff:
		return strings.HasPrefix(r.What, "GET ") && r.What != "GET /v2/" // which tells by its header
	case WrongDigest:
		return strings.Contains(r.What, " manifests/")
	}
	return true
}

// Proxy stands before a registry, speaks for it, keeps what it was asked, and
// does harm to requests as planned.
type Proxy struct {
	Host    string // host:port on loopback; it speaks plain HTTP
	Uploads *Gauge // uploads that are open, from POST to the answer to PUT

	mu       sync.Mutex
	idle     sync.Cond // open has become 0
	open     int       // requests under way
	requests []*Request
	seen     map[string]int // What to how many
	plan     func(Request) Fault
	before   func(Request)
	answer   func(http.ResponseWriter, *http.Request) bool
	held     []net.Conn // from which nothing is read; closed with the proxy
}

// Gauge counts what is open. Proxies may share one.
type Gauge struct {
	mu        sync.Mutex
	now, Most int
}

func (g *Gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.Most = max(g.Most, g.now)
}

// NewProxy starts a Proxy before the registry at host:port. It ends with the
// test.
func NewProxy(t testing.TB, registry string) *Proxy {
	t.Helper()
	p := &Proxy{Uploads: &Gauge{}, seen: map[string]int{}}
	p.idle.L = &p.mu
	quiet := log.New(io.Discard, "", 0) // of connections that were cut
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: registry})
			r.Out.Host = r.In.Host // else the registry sends clients past us
		},
		ModifyResponse: spoil,
		FlushInterval:  -1, // or half an answer would wait for the rest
		ErrorLog:       quiet,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, forward)
	}))
	server.Config.ErrorLog = quiet
	server.Start()
	t.Cleanup(func() {
		server.Close()
		for _, conn := range p.held {
			_ = conn.Close()
		}
	})
	p.Host = strings.TrimPrefix(server.URL, "http://")
	return p
}

// Plan decides what becomes of further requests; nil: all go well.
func (p *Proxy) Plan(plan func(Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Before is called before a request is passed on.
func (p *Proxy) Before(f func(Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// Answer lets f answer requests in place of the registry, where it returns true.
func (p *Proxy) Answer(f func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// Requests returns those since the last call, in the order of their arrival,
// once all have ended.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open > 0 {
		p.idle.Wait()
	}
	var all []Request
	for _, r := range p.requests {
		all = append(all, *r)
	}
	p.requests, p.seen = nil, map[string]int{}
	return all
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	entry, before, answer := p.begin(r)
	request := *entry
	body := &measured{ReadCloser: r.Body}
	r.Body = body
	if request.What == "POST uploads" {
		p.Uploads.add(1)
	}
	status := &statusWriter{ResponseWriter: w}
	// Before the client hears of it: it may open the next one at once.
	status.ended = sync.OnceFunc(func() {
		if request.Blob() != "" || (request.What == "POST uploads" && status.code != http.StatusAccepted) {
			p.Uploads.add(-1)
		}
	})
	defer func() {
		status.ended()
		p.mu.Lock()
		defer p.mu.Unlock()
		entry.Read, entry.Status = body.count(), status.code
		if p.open--; p.open == 0 {
			p.idle.Broadcast()
		}
	}()
	if answer != nil && answer(status, r) {
		return
	}
	if before != nil {
		before(request)
	}
	p.harm(status, r, request, next)
}

// begin writes a request down.
func (p *Proxy) begin(r *http.Request) (*Request, func(Request), func(http.ResponseWriter, *http.Request) bool) {
	entry := describe(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	entry.Occurrence = p.seen[entry.What]
	p.seen[entry.What]++
	if p.plan != nil {
		entry.Fault = p.plan(*entry)
	}
	p.requests = append(p.requests, entry)
	return entry, p.before, p.answer
}

// describe names a request of the distribution API.
func describe(r *http.Request) *Request {
	q := &Request{What: r.Method + " " + r.URL.Path, At: time.Now(), Length: r.ContentLength}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok || path == "" {
		return q
	}
	if repository, _, ok := strings.Cut(path, "/blobs/uploads/"); ok {
		q.Repository, q.What = repository, r.Method+" uploads"
		if digest := r.URL.Query().Get("digest"); digest != "" {
			q.What += "/" + digest
		}
		return q
	}
	for _, kind := range []string{"/blobs/", "/manifests/", "/tags/"} {
		if repository, rest, ok := strings.Cut(path, kind); ok {
			q.Repository, q.What = repository, r.Method+" "+kind[1:]+rest
		}
	}
	return q
}

type faultKey struct{}

// harm does to a request what its fault says.
func (p *Proxy) harm(w http.ResponseWriter, r *http.Request, request Request, next http.Handler) {
	f := request.Fault
	switch f {
	case "":
		next.ServeHTTP(w, r)
	case Reset:
		reset(w)
	case ResetMidway:
		_, _ = io.CopyN(io.Discard, r.Body, request.Length/2)
		reset(w)
	case Stall:
		// The server notices that a client left only once it has the body.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case StallData:
		_, _ = io.CopyN(io.Discard, r.Body, request.Length/2)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			p.mu.Lock()
			p.held = append(p.held, conn)
			p.mu.Unlock()
		}
	case Lost, StallMidway, CutOff, WrongDigest:
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		switch f {
		case TooManyWait:
			w.Header().Set("Retry-After", "1")
		case TooManyUntil: // whole seconds: between one and two from now
			w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
		}
		w.WriteHeader(statuses[f])
	}
}

// reset closes the connection so that the other end sees a reset.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// spoil does to an answer what the request's fault says.
func spoil(resp *http.Response) error {
	switch f, _ := resp.Request.Context().Value(faultKey{}).(Fault); f {
	case Lost:
		return errors.New("lost")
	case WrongDigest:
		resp.Header.Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	case StallMidway, CutOff:
		half := io.LimitReader(resp.Body, resp.ContentLength/2)
		end := readerFunc(func([]byte) (int, error) { return 0, errors.New("cut off") })
		if f == StallMidway {
			done := resp.Request.Context().Done()
			end = func([]byte) (int, error) {
				<-done
				return 0, errors.New("the client left")
			}
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(half, end), resp.Body}
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// measured is a request's body, as far as it came.
type measured struct {
	io.ReadCloser
	mu sync.Mutex
	n  int64
}

func (b *measured) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n += int64(n)
	return n, err
}

func (b *measured) count() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	code  int
	ended func() // called when there is a status, which isn't sent yet
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	if code >= http.StatusOK {
		w.ended()
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// String is for messages of tests.
func (r Request) String() string {
	s := fmt.Sprintf("%s #%d: %d", r.What, r.Occurrence, r.Status)
	if r.Fault != "" {
		s += " (" + string(r.Fault) + ")"
	}
	return s
}
