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

// wire sends all requests to registries: it is the http.RoundTripper below ggcr's
// authentication. It repeats requests that may be repeated, gives up those that
// stall, refuses plain HTTP where it isn't allowed, and asks each registry only once
// how to log in.
type wire struct {
	*patience
	base     *http.Transport
	given    http.RoundTripper // Options.Transport, in place of base
	plain    func(hostport string) bool
	requests *slots        // for small requests
	stall    time.Duration // how long a request may go without progress
	answer   time.Duration // how long an answer other than a blob may take
	secrets  secrets
	turns    turns

	mu    sync.Mutex
	pings map[string]ping // by URL
}

// ping is what a registry answered to GET /v2/.
type ping struct {
	status int // 0: not known yet
	header http.Header
	err    error // of the last try, if it got no answer
}

// smallRequests is how many small requests may run at once for each upload. They
// cost little but the time until the answer.
const smallRequests = 4

func newWire(o Options) *wire {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	w := &wire{
		patience: &patience{
			limit: o.Patience, firstWait: firstWait, uploads: newSlots(o.Jobs),
			holds: map[string]hold{}, reported: map[string]time.Time{},
		},
		base: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    (1 + smallRequests) * o.Jobs,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    15 * time.Second,
			ExpectContinueTimeout:  time.Second,
			DisableCompression:     true, // digests are of the bytes as stored
			WriteBufferSize:        64 << 10,
			ReadBufferSize:         64 << 10,
			MaxResponseHeaderBytes: 1 << 20,
		},
		given:    o.Transport,
		plain:    o.plain,
		requests: newSlots(smallRequests * o.Jobs),
		stall:    o.Stall,
		answer:   answerTime,
		pings:    map[string]ping{},
	}
	w.onWait = func(text string) { o.Wait(w.secrets.scrub(text)) }
	w.log = func(format string, args ...any) {
		o.Log("%s", w.secrets.scrub(fmt.Sprintf(format, args...)))
	}
	return w
}

// announce announces work for a registry, until done is called.
func (w *wire) announce(registry string) (done func()) {
	uploads, requests := w.uploads.announce(registry), w.requests.announce(registry)
	return func() { uploads(); requests() }
}

// octets is the content type of a blob that is uploaded.
const octets = "application/octet-stream"

// isManifest reports whether req is for a manifest, also after a redirect.
func isManifest(req *http.Request) bool {
	req, _ = original(req)
	return strings.Contains(req.URL.Path, "/manifests/")
}

// isBlob reports whether req gets or sends a blob's data, which takes time.
func isBlob(req *http.Request) bool {
	if req.Header.Get("Content-Type") == octets {
		return true
	}
	req, _ = original(req)
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
}

// repeatable reports whether req can be sent again. A blob's data can't: the
// registry would append it to what it has of the upload.
func repeatable(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	return req.GetBody != nil && req.Header.Get("Content-Type") != octets
}

// try sends the request once. A small one waits for a slot, which it holds until
// the answer begins.
func (w *wire) try(req *http.Request, op *operation) (*http.Response, error) {
	if isBlob(req) || req.Method == http.MethodGet && !isManifest(req) {
		return w.send(req)
	}
	if err := w.requests.acquire(req.Context(), op.registry); err != nil {
		return nil, err
	}
	defer w.requests.release(op.registry)
	return w.send(req)
}

func (w *wire) send(req *http.Request) (*http.Response, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, err
	}
	w.learn(req)
	ctx, cancel := context.WithCancelCause(req.Context())
	last := w.stall
	if req.Header.Get("Content-Type") == octets {
		last *= 4 // the registry verifies and moves the data before it answers
	}
	watch := newSending(w.stall, last, func() { cancel(stalled(req.URL.Host, w.stall)) })
	out := req.Clone(ctx)
	out.Header.Set("User-Agent", "multimage")
	out.GetBody = nil
	if body != nil {
		out.Body = watch.reader(body)
		if get := req.GetBody; get != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				b, err := get()
				return watch.reader(b), err
			}
		}
	}
	var over http.RoundTripper = w.base
	if w.given != nil {
		over = w.given
	}
	resp, err := over.RoundTrip(out)
	local := watch.end()
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		switch {
		case errors.Is(cause, errStalled):
			return nil, cause
		case local != nil:
			return nil, local
		}
		// As http.Client does, which doesn't recognize it in a netError.
		if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(record.RecordHeader[:]) == "HTTP/" {
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

// learn adds the secrets of the request, and of its proxy.
func (w *wire) learn(req *http.Request) {
	w.secrets.learn(req)
	if w.base.Proxy == nil {
		return
	}
	if proxy, err := w.base.Proxy(req); err == nil && proxy != nil {
		if password, ok := proxy.User.Password(); ok {
			w.secrets.add(password)
		}
	}
}

// bodyOf returns the body to send; nil if there is none. It is opened anew if
// possible: ggcr sends the same request again after renewing an expired token.
func bodyOf(req *http.Request) (io.ReadCloser, error) {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody == nil {
		return req.Body, nil
	}
	return req.GetBody()
}
