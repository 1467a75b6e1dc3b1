package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Waits between tries double from firstWait up to longestWait times it.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 20
	// An operation is tried this often however long its tries take: two
	// minutes are less than one upload over a slow line.
	fewestTries = 3
)

// trial is one operation that may take several tries, each of one or more
// requests. It travels in the context, so that whatever makes the requests,
// all of them draw on one stock of patience.
type trial struct {
	w     *wire
	what  string // for people: "ghcr.io/acme/x: push tag v1"
	plain bool   // plain HTTP is acceptable at all
	// registry is the one that slots are for; empty if none is known.
	registry string
	held     bool // a slot for uploads is held, and given back while waiting
	once     bool // no patience is left: the registry took it all

	mu       sync.Mutex
	failures int
	since    time.Time // of the first failure
	over     bool
	asked    time.Duration // what the registry asked for at last
}

type trialKey struct{}

func (w *wire) newTrial(what string, plain bool) *trial {
	return &trial{w: w, what: what, plain: plain}
}

func (t *trial) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, trialKey{}, t)
}

// trialOf returns the trial that a request belongs to; one that belongs to
// none, such as the pull of a base, is a trial of its own.
func (w *wire) trialOf(ctx context.Context) *trial {
	if t, ok := ctx.Value(trialKey{}).(*trial); ok {
		return t
	}
	return w.newTrial("pull", true)
}

// errImpatient ends a trial.
var errImpatient = errors.New("patience is at its end")

// wait waits before the next try, because of what went wrong with host in the
// last one, at least for the time that the registry asked for. at says more of
// the request for the log, if it isn't empty. wait returns errImpatient if there
// is to be no next try, or the end of ctx.
func (t *trial) wait(ctx context.Context, host, at, reason string, asked time.Duration) error {
	d, ok := t.next(asked)
	if !ok {
		return errImpatient
	}
	if at != "" {
		at += ": "
	}
	t.w.log("%s: %s%s: trying again in %s", t.what, at, reason, d.Round(time.Millisecond))
	return t.pause(ctx, host, reason, d)
}

// progress says that a try got somewhere: patience starts anew, or what is
// large would never get through a connection that breaks now and then.
func (t *trial) progress() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.failures, t.since = 0, time.Time{}
	}
}

func (t *trial) next(asked time.Duration) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.once {
		t.over = true
		return 0, false
	}
	now := time.Now()
	if t.failures++; t.failures == 1 {
		t.since = now
	}
	d := t.w.firstWait << min(t.failures-1, 10)
	d = min(d, longestWait*t.w.firstWait)
	d = d*3/4 + rand.N(d/2+1) // jitter: three to five quarters
	d, t.asked = max(d, asked), asked
	left := t.w.patience - now.Sub(t.since)
	if d > t.w.patience || (d > left && t.failures >= fewestTries) {
		t.over = true
		return 0, false
	}
	return d, true
}

// isOver reports whether patience has ended.
func (t *trial) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// effort tells what was tried before t was given up; empty if it failed at
// once.
func (t *trial) effort() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.failures > 1:
		return fmt.Sprintf("gave up after %d tries in %s", t.failures, round(time.Since(t.since)))
	case t.once:
		return "" // the other image's error says how long it was tried
	case t.over:
		return fmt.Sprintf("the registry asks to wait for %s, longer than the %s that it is waited for", round(t.asked), t.w.patience)
	}
	return ""
}

// gaveUp adds to the error of a request of its own what was tried; session.failed
// tells it of others. A nil error, of an answer, stays so.
func (t *trial) gaveUp(err error) error {
	if effort := t.effort(); err != nil && effort != "" && t.registry == "" {
		return &netError{hostOf(err), fmt.Errorf("%w: %s", err, effort)}
	}
	return err
}

// pause sleeps, letting another upload have the slot meanwhile.
func (t *trial) pause(ctx context.Context, host, reason string, d time.Duration) error {
	again := t.held
	t.release()
	for ; ; d -= tellAgain {
		t.w.tell(host, reason)
		if err := sleep(ctx, min(d, tellAgain)); err != nil {
			return err
		}
		if d <= tellAgain {
			break
		}
	}
	if again {
		return t.acquire(ctx)
	}
	return nil
}

func (t *trial) acquire(ctx context.Context) error {
	err := t.w.uploads.acquire(ctx, t.registry)
	t.held = err == nil
	return err
}

func (t *trial) release() {
	if t.held {
		t.held = false
		t.w.uploads.release(t.registry)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// do calls f, in a context that carries t, until it succeeds, fails for good,
// or patience ends; the error is then the last of f.
func (t *trial) do(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(t.with(ctx))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !passing(err) {
			return err
		}
		switch werr := t.wait(ctx, t.host(err), "", brief(err), 0); {
		case errors.Is(werr, errImpatient):
			return err
		case werr != nil:
			return werr
		}
	}
}

// host is the one that failed with err.
func (t *trial) host(err error) string {
	if host := hostOf(err); host != "" {
		return host
	}
	return t.registry
}

// hostOf is the host that err is of, which a redirect may have led to; empty if
// that isn't known.
func hostOf(err error) string {
	var terr *transport.Error
	var nerr *netError
	switch {
	case errors.As(err, &terr) && terr.Request != nil:
		return terr.Request.URL.Host
	case errors.As(err, &nerr):
		return nerr.host
	}
	return ""
}

// passing reports whether err may be gone at the next try of the whole
// operation. Beyond what a request is repeated for, that is an upload whose
// session the registry has lost.
func passing(err error) bool {
	var terr *transport.Error
	if !errors.As(err, &terr) {
		var nerr *netError
		return errors.As(err, &nerr) && nerr.passing()
	}
	return passingStatus(terr.StatusCode) ||
		terr.StatusCode == http.StatusRequestedRangeNotSatisfiable ||
		has(terr, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode,
			transport.TooManyRequestsErrorCode, transport.UnavailableErrorCode)
}

func has(terr *transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(terr.Errors, func(d transport.Diagnostic) bool {
		return slices.Contains(codes, d.Code)
	})
}

// passingStatus reports whether the status speaks of the moment, not of the
// request. 499 and 52x come from proxies (nginx, Cloudflare).
func passingStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, 499,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, 520, 521, 522, 523, 524:
		return true
	}
	return false
}

// passing reports whether the connection may work next time: it was refused,
// reset, ended early, timed out. A name that doesn't exist and a certificate
// that isn't valid stay so.
func (e *netError) passing() bool {
	err := e.err
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTemporary || dns.IsTimeout
	}
	for _, e := range []error{errStalled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		// The others ("remote error") are TLS alerts.
		return slices.Contains([]string{"dial", "read", "write", "proxyconnect"}, op.Op)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	// net/http keeps these to itself.
	text := err.Error()
	return strings.Contains(text, "http2: ") || strings.Contains(text, "stream error: ") ||
		strings.Contains(text, "server closed idle connection")
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110,
// section 10.2.3). Without one it returns 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if secs, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(secs) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// brief is err without the address of the request, whose query may hold a
// secret, and without more of the answer's text than helps.
func brief(err error) string {
	var terr *transport.Error
	if errors.As(err, &terr) {
		return strings.Join(append([]string{status(terr.StatusCode)}, diagnostics(terr)...), ": ")
	}
	text := err.Error()
	var uerr *url.Error
	if errors.As(err, &uerr) {
		text = uerr.Err.Error()
	}
	if text == io.EOF.Error() || text == io.ErrUnexpectedEOF.Error() {
		text = "the connection was closed in the middle (" + text + ")"
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		text = "it doesn't speak TLS" // the error shows what it spoke
	}
	// ggcr's text goes on with what the token server said, perhaps a token.
	if at := strings.Index(text, "no token in bearer response"); at >= 0 {
		text = "the token server's answer has no token"
	}
	// ggcr tries TLS first, and reports both.
	var plain *plainError
	if errors.As(err, &plain) && !strings.Contains(text, plain.Error()) {
		text += "; " + plain.Error()
	}
	return wording.Clip(text)
}

func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// diagnostics is what the registry says itself (OCI distribution spec, "Error
// Codes"), or else what is in an answer that isn't of that form.
func diagnostics(terr *transport.Error) []string {
	var all []string
	for _, d := range terr.Errors[:min(len(terr.Errors), 5)] {
		text := strings.TrimSpace(string(d.Code) + " " + d.Message)
		if more := detail(d.Detail); more != "" && more != d.Message {
			text += ": " + more
		}
		all = append(all, wording.Clip(text))
	}
	if len(all) == 0 {
		_, raw, _ := strings.Cut(terr.Error(), fmt.Sprintf("unexpected status code %d %s: ", terr.StatusCode, http.StatusText(terr.StatusCode)))
		if raw = wording.Clip(raw); raw != "" && !strings.HasPrefix(raw, "<") { // a page for a browser
			all = append(all, raw)
		}
	}
	return all
}

// detail is a diagnostic's detail as text: some registries say there what
// others say in the message, in a form of their own.
func detail(d any) string {
	switch d := d.(type) {
	case nil:
		return ""
	case string:
		return d
	case map[string]any:
		if m, ok := d["message"].(string); ok && len(d) == 1 {
			return m
		}
		if len(d) == 0 {
			return ""
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		return ""
	}
	return string(text)
}
