package publish

import (
	"context"
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
	plain     func(hostport string) bool
	uploads   *slots
	requests  *slots // of the others, that take no time
	patience  time.Duration
	stall     time.Duration
	firstWait time.Duration
	log       func(format string, args ...any)
	secrets   secrets

	mu    sync.Mutex
	until map[string]hold  // by host
	pings map[string]*ping // by URL
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
		},
		plain:     plain,
		uploads:   newSlots(o.Jobs),
		requests:  newSlots(smallRequests * o.Jobs),
		patience:  o.Patience,
		stall:     o.Stall,
		firstWait: firstWait,
		until:     map[string]hold{},
		pings:     map[string]*ping{},
	}
	w.log = func(format string, args ...any) {
		o.Log("%s", w.secrets.scrub(fmt.Sprintf(format, args...)))
	}
	return w
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

// guard refuses plain HTTP unless the host may speak it, and so may the
// registry that the request is for, and no redirect led here from TLS.
func (w *wire) guard(req *http.Request, t *trial) error {
	if req.URL.Scheme != "http" {
		return nil
	}
	downgraded := req.Response != nil && req.Response.Request != nil && req.Response.Request.URL.Scheme == "https"
	if downgraded || !t.plain || !w.plain(req.URL.Host) {
		return &plainError{req.URL.Host}
	}
	return nil
}

// drop closes the body of a request that is not sent, as RoundTrippers must.
func drop(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// ping is what a registry answered to GET /v2/.
type ping struct {
	asking chan struct{} // held by who asks
	status int           // 0: not known yet
	header http.Header

	err error // of the last try, if it got no answer; guarded by wire.mu
}

// pingError is why the last handshake by that scheme got no answer; nil if it
// did, or there was none.
func (w *wire) pingError(scheme, host string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.pings[scheme+"://"+host]; p != nil {
		return p.err
	}
	return nil
}

func (w *wire) ping(req *http.Request, t *trial) (*http.Response, error) {
	key := req.URL.Scheme + "://" + req.URL.Host
	w.mu.Lock()
	p, ok := w.pings[key]
	if !ok {
		p = &ping{asking: make(chan struct{}, 1)}
		w.pings[key] = p
	}
	w.mu.Unlock()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	if p.status != 0 {
		return &http.Response{
			Status: status(p.status), StatusCode: p.status,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: p.header.Clone(), Body: http.NoBody, Request: req,
		}, nil
	}
	resp, err := w.repeat(req, t)
	if err == nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized) {
		p.status, p.header = resp.StatusCode, resp.Header.Clone()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.err = err
	return resp, err
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
			if !passingNet(err) {
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
			}
			return resp, nil
		}
		if !repeatable(req) {
			return resp, err
		}
		reason = fmt.Sprintf("%s %s: %s", req.Method, req.URL.Host+req.URL.Path, reason)
		if werr := t.wait(ctx, reason, asked); errors.Is(werr, errImpatient) {
			return resp, err
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

// repeatable reports whether req can be sent again: all but a blob's data,
// for a registry appends what it gets to what it has of an upload.
func repeatable(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	return req.GetBody != nil && req.Header.Get("Content-Type") != octets
}

const octets = "application/octet-stream"

// hold is a registry's wish not to be asked before a time, and the status that
// it came with.
type hold struct {
	until  time.Time
	status string
}

// hold keeps all requests from the host for d.
func (w *wire) hold(host string, d time.Duration, status string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := time.Now().Add(d); d > 0 && at.After(w.until[host].until) {
		w.until[host] = hold{at, status}
	}
}

// gate waits until the host wants to be asked again.
func (w *wire) gate(ctx context.Context, host string, t *trial) error {
	for {
		w.mu.Lock()
		h := w.until[host]
		w.mu.Unlock()
		d := time.Until(h.until)
		if d <= 0 {
			return nil
		}
		if d > w.patience {
			return fmt.Errorf("%s answered %s and asks to be left alone for %s, which is longer than it will be waited for", host, h.status, d.Round(time.Second))
		}
		if err := t.pause(ctx, d); err != nil {
			return err
		}
	}
}

// sendInTurn is send, once a slot is free for a request that isn't of a blob's
// data. It is held until the answer begins, and not while a next try is waited
// for.
func (w *wire) sendInTurn(req *http.Request, t *trial) (*http.Response, error) {
	data := req.Header.Get("Content-Type") == octets ||
		req.Method == http.MethodGet && !strings.Contains(req.URL.Path, "/manifests/")
	if data {
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
	ctx, cancel := context.WithCancelCause(req.Context())
	stalled := func() { cancel(fmt.Errorf("%w for %s", errStalled, w.stall)) }
	sending := &watchdog{limit: w.stall, timer: time.AfterFunc(w.stall, stalled)}
	out := req.Clone(ctx)
	out.Header.Set("User-Agent", "multimage")
	out.Body, out.GetBody = nil, nil
	if body != nil {
		digesting := 1
		if req.Header.Get("Content-Type") == octets {
			digesting = 4 // with all the data, the registry verifies and moves it
		}
		out.Body = &watched{body, sending, digesting}
		if get := req.GetBody; get != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				b, err := get()
				return &watched{b, sending, digesting}, err
			}
		}
	}
	resp, err := w.base.RoundTrip(out)
	sending.end()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Request = req
	receiving := &watchdog{limit: w.stall, timer: time.AfterFunc(w.stall, stalled)}
	receiving.rest()
	resp.Body = &received{body: resp.Body, ctx: ctx, dog: receiving, cancel: func() { cancel(nil) }}
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
