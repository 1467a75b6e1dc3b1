package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// wire is the one way to every registry. Below ggcr's authentication it
// repeats requests that may be repeated, gives up on those where nothing
// moves, refuses plain HTTP where nobody allowed it, and asks each registry
// only once how to authenticate.
type wire struct {
	base      *http.Transport
	given     http.RoundTripper // Options.Transport, in place of base
	plain     func(hostport string) bool
	uploads   *slots
	requests  *slots // of the others, that take no time
	patience  time.Duration
	stall     time.Duration
	answer    time.Duration // how long an answer that is no blob may take
	firstWait time.Duration
	log       func(format string, args ...any)
	waiting   func(text string)
	secrets   secrets

	mu    sync.Mutex
	until map[string]hold      // by host
	pings map[string]*ping     // by URL
	told  map[string]time.Time // by host: when it was last told that it is waited for
}

// smallRequests are how many requests run at once for each upload that may.
// Their answer comes at once, or from far away.
const smallRequests = 4

// begin says that there is work for a registry, until end is called.
func (w *wire) begin(registry string) (end func()) {
	uploads, requests := w.uploads.begin(registry), w.requests.begin(registry)
	return func() { uploads(); requests() }
}

func newWire(o Options, plain func(string) bool) *wire {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	w := &wire{
		base: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   (1 + smallRequests) * o.Jobs,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   15 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true, // digests are of the bytes as stored
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        64 << 10,

			MaxResponseHeaderBytes: 1 << 20,
		},
		given:     o.Transport,
		plain:     plain,
		uploads:   newSlots(o.Jobs),
		requests:  newSlots(smallRequests * o.Jobs),
		patience:  o.Patience,
		stall:     o.Stall,
		answer:    answerTime,
		firstWait: firstWait,
		until:     map[string]hold{},
		pings:     map[string]*ping{},
		told:      map[string]time.Time{},
	}
	w.waiting = func(text string) { o.Wait(w.secrets.scrub(text)) }
	w.log = func(format string, args ...any) {
		o.Log("%s", w.secrets.scrub(fmt.Sprintf(format, args...)))
	}
	return w
}

// netError is a fault of the connection to a host. Only what goes over the
// network gets one: what else fails (a file, a login) fails the same next time.
type netError struct {
	host string
	err  error
}

func (e *netError) Error() string { return e.err.Error() }
func (e *netError) Unwrap() error { return e.err }

// maxRedirects is how often a request may be sent on, as in net/http.
const maxRedirects = 10

// redirectError says that a host sends requests on and on.
type redirectError struct{ host string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("%s: stopped after %d redirects", e.host, maxRedirects)
}

// plainError says that a request would have gone out in plain HTTP.
type plainError struct{ host string }

func (e *plainError) Error() string {
	return fmt.Sprintf("refusing plain HTTP to %s, which is not a loopback address: add %q to Insecure if it is to be trusted", e.host, e.host)
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	t := w.trialOf(req.Context())
	if err := w.guard(req, t); err != nil {
		drop(req)
		return nil, err
	}
	// The handshake of the distribution API, "GET /v2/" (OCI distribution
	// spec, end-1), says the same for all repositories of a registry.
	if req.Method == http.MethodGet && req.URL.Path == "/v2/" && req.URL.RawQuery == "" {
		return w.ping(req, t)
	}
	return w.repeat(req, t)
}

// guard refuses what was redirected too often (ggcr's clients look at where a
// redirect leads, and then no longer count), and plain HTTP unless the host may
// speak it, and so may the registry that the request is for, and no redirect
// led here from TLS.
func (w *wire) guard(req *http.Request, t *trial) error {
	if _, redirects := first(req); redirects > maxRedirects {
		return &redirectError{req.URL.Host}
	}
	if req.URL.Scheme != "http" {
		return nil
	}
	downgraded := req.Response != nil && req.Response.Request != nil && req.Response.Request.URL.Scheme == "https"
	if downgraded || !t.plain || !w.plain(req.URL.Host) {
		return &plainError{req.URL.Host}
	}
	return nil
}

// first returns the request that led to req, and by how many redirects.
func first(req *http.Request) (_ *http.Request, redirects int) {
	for req.Response != nil && req.Response.Request != nil {
		req, redirects = req.Response.Request, redirects+1
	}
	return req, redirects
}

// drop closes the body of a request that is not sent, as RoundTrippers must.
func drop(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// repeat sends the request until the answer is one to keep. What can't be
// repeated here, the upload of a blob's data, is for the caller to repeat,
// from the start of the upload.
func (w *wire) repeat(req *http.Request, t *trial) (*http.Response, error) {
	ctx := req.Context()
	for {
		if err := w.gate(ctx, req.URL.Host, t); err != nil {
			drop(req)
			return nil, err
		}
		resp, err := w.sendInTurn(req, t)
		if ctx.Err() != nil {
			if resp != nil {
				resp.Body.Close()
			}
			return nil, context.Cause(ctx)
		}
		var reason string
		var asked time.Duration
		switch {
		case err != nil:
			if !passing(err) {
				return nil, err
			}
			reason = brief(err)
		case passingStatus(resp.StatusCode):
			reason = status(resp.StatusCode)
			asked = retryAfter(resp.Header, time.Now())
			w.hold(req.URL.Host, asked, reason)
		default:
			if req.Method == http.MethodGet && resp.StatusCode == http.StatusOK {
				resp.Body = &resuming{w: w, t: t, req: req, body: resp.Body, size: resp.ContentLength}
				if isManifest(req) {
					resp.Body = &bounded{resp.Body, manifestLimit}
				}
			}
			return resp, nil
		}
		if !repeatable(req) {
			return resp, err
		}
		at := fmt.Sprintf("%s %s", req.Method, req.URL.Host+req.URL.Path)
		if werr := t.wait(ctx, w.waitedFor(req, t), at, reason, asked); errors.Is(werr, errImpatient) {
			return resp, t.gaveUp(err)
		} else if werr != nil {
			if resp != nil {
				resp.Body.Close()
			}
			return nil, werr
		}
		if resp != nil {
			io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection is used again
			resp.Body.Close()
		}
	}
}

// waitedFor is the host that the request waits for; empty for the search for
// TLS where plain HTTP will do: that it fails says nothing.
func (w *wire) waitedFor(req *http.Request, t *trial) string {
	if req.URL.Path == "/v2/" && req.URL.Scheme == "https" && t.plain && w.plain(req.URL.Host) {
		return ""
	}
	return req.URL.Host
}

// isManifest reports whether req is for a manifest, wherever it was sent on to.
func isManifest(req *http.Request) bool {
	req, _ = first(req)
	return strings.Contains(req.URL.Path, "/manifests/")
}

// isBlob reports whether req gets or sends a blob's data, which takes time.
func isBlob(req *http.Request) bool {
	if req.Header.Get("Content-Type") == octets {
		return true
	}
	req, _ = first(req)
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
}

// bounded is a body of which no more than left bytes are read.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("a manifest of more than %d bytes", manifestLimit)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}

// repeatable reports whether req can be sent again: all but a blob's data,
// for a registry appends what it gets to what it has of an upload.
func repeatable(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	return req.GetBody != nil && req.Header.Get("Content-Type") != octets
}

const octets = "application/octet-stream"

// sendInTurn is send, once a slot is free for a request that isn't of a blob's
// data. It is held until the answer begins, and not while a next try is waited
// for.
func (w *wire) sendInTurn(req *http.Request, t *trial) (*http.Response, error) {
	if isBlob(req) || req.Method == http.MethodGet && !isManifest(req) {
		return w.send(req)
	}
	registry := t.registry
	if registry == "" {
		registry = req.URL.Host
	}
	if err := w.requests.acquire(req.Context(), registry); err != nil {
		drop(req)
		return nil, err
	}
	defer w.requests.release(registry)
	return w.send(req)
}

// send makes one try at the request.
func (w *wire) send(req *http.Request) (*http.Response, error) {
	body, err := unspent(req)
	if err != nil {
		return nil, err
	}
	w.secrets.learn(req)
	if w.base.Proxy != nil {
		if proxy, err := w.base.Proxy(req); err == nil && proxy != nil {
			if password, ok := proxy.User.Password(); ok {
				w.secrets.add(password)
			}
		}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	stalled := func() { cancel(&netError{req.URL.Host, fmt.Errorf("%w in %s", errStalled, w.stall)}) }
	var fault localFault
	sending := &watchdog{limit: w.stall, timer: time.AfterFunc(w.stall, stalled)}
	out := req.Clone(ctx)
	out.Header.Set("User-Agent", "multimage")
	out.Body, out.GetBody = nil, nil
	if body != nil {
		digesting := 1
		if req.Header.Get("Content-Type") == octets {
			digesting = 4 // with all the data, the registry verifies and moves it
		}
		out.Body = &watched{body, sending, digesting, &fault}
		if get := req.GetBody; get != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				b, err := get()
				return &watched{b, sending, digesting, &fault}, err
			}
		}
	}
	var over http.RoundTripper = w.base
	if w.given != nil {
		over = w.given
	}
	resp, err := over.RoundTrip(out)
	sending.end()
	local := fault.end()
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		switch {
		case errors.Is(cause, errStalled):
			return nil, cause
		case local != nil:
			return nil, local
		}
		// As http.Client does, which doesn't see it in a netError.
		var record tls.RecordHeaderError
		if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
			err = http.ErrSchemeMismatch
		}
		return nil, &netError{req.URL.Host, err}
	}
	resp.Request = req
	got := &received{body: resp.Body, ctx: ctx, cancel: cancel, host: req.URL.Host, limit: w.stall, left: w.stall}
	if !isBlob(req) {
		got.whole = w.answer
	}
	resp.Body = got
	if resp.StatusCode >= http.StatusBadRequest {
		resp.Body, resp.ContentLength = &scrubbed{ReadCloser: resp.Body, secrets: &w.secrets}, -1
	}
	return resp, nil
}

// unspent returns the body to send, nil if there is none. ggcr sends a request
// again, body and all, once it has renewed an expired token; the body is then
// taken anew.
func unspent(req *http.Request) (io.ReadCloser, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	if _, again := req.Body.(spent); again {
		if req.GetBody == nil {
			return nil, errors.New("the request's body can't be sent twice")
		}
		return req.GetBody()
	}
	body := req.Body
	req.Body = spent{}
	return body, nil
}

// spent is the body of a request whose body was sent.
type spent struct{}

func (spent) Read([]byte) (int, error) { return 0, errors.New("body was sent before") }
func (spent) Close() error             { return nil }
