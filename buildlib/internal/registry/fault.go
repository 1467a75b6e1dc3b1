package registry

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// netError is an error of the connection to a host, and may be transient. Other
// errors (of a file, a login) would be the same the next time.
type netError struct {
	host string
	err  error
}

func (e *netError) Error() string { return e.err.Error() }
func (e *netError) Unwrap() error { return e.err }

// errStalled ends a request that has transferred nothing, or next to nothing, for
// too long.
var errStalled = errors.New("stalled: less than 1 kB moved")

// failure is an error for people. Its text names the repository, the operation
// and the fix, and leaves out what requests carry in their address: the queries
// of upload locations and token servers may hold secrets. The cause stays for
// errors.As.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// isFailure reports whether err is, or wraps, a *failure.
func isFailure(err error) bool {
	_, ok := errors.AsType[*failure](err)
	return ok
}

// plainError is the error of a request that would have been sent in plain HTTP.
type plainError struct{ host string }

func (e *plainError) Error() string {
	return fmt.Sprintf("refusing plain HTTP to %s, which is not a loopback address: add %q to Insecure if you trust it", e.host, e.host)
}

// Expired is the error of a download that broke off and can't be resumed, because
// the login, or the address that the registry redirected to, was valid for a short
// time only. Downloading from the start may work.
type Expired struct{ Status int }

func (e *Expired) Error() string {
	return "can't continue after the connection broke: " + status(e.Status)
}

// StartOver tells callers that don't know this type that they may try again.
func (e *Expired) StartOver() bool { return true }

// transient reports whether the whole operation may succeed at the next try: after
// all that single requests are retried for, and if the registry has lost an
// upload's session.
func transient(err error) bool {
	if terr, ok := errors.AsType[*transport.Error](err); ok {
		if incomplete(err) {
			return false // not before the missing part is pushed
		}
		return transientStatus(terr.StatusCode) ||
			terr.StatusCode == http.StatusRequestedRangeNotSatisfiable ||
			has(terr, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode,
				transport.TooManyRequestsErrorCode, transport.UnavailableErrorCode)
	}
	nerr, ok := errors.AsType[*netError](err)
	return ok && nerr.transient()
}

// has reports whether the registry's answer has one of the codes.
func has(terr *transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(terr.Errors, func(d transport.Diagnostic) bool {
		return slices.Contains(codes, d.Code)
	})
}

// transientStatus reports whether the same request may get another status later. 499
// and 52x come from proxies (nginx, Cloudflare).
func transientStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, 499,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, 520, 521, 522, 523, 524:
		return true
	}
	return false
}

// transient reports whether the connection may work next time: it was refused,
// reset, closed early, timed out. A host name that doesn't exist and an invalid
// certificate won't have changed.
func (e *netError) transient() bool {
	if dns, ok := errors.AsType[*net.DNSError](e); ok {
		return dns.IsTemporary || dns.IsTimeout
	}
	for _, fault := range []error{errStalled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(e, fault) {
			return true
		}
	}
	if op, ok := errors.AsType[*net.OpError](e); ok {
		// The others ("remote error") are TLS alerts.
		return slices.Contains([]string{"dial", "read", "write", "proxyconnect"}, op.Op)
	}
	if timeout, ok := errors.AsType[net.Error](e); ok && timeout.Timeout() {
		return true
	}
	// net/http doesn't export these.
	text := e.Error()
	return strings.Contains(text, "http2: ") || strings.Contains(text, "stream error: ") ||
		strings.Contains(text, "server closed idle connection")
}

// absent reports whether the registry answered 404.
func absent(err error) bool {
	terr, ok := errors.AsType[*transport.Error](err)
	return ok && terr.StatusCode == http.StatusNotFound
}

// incomplete reports whether the registry lacks something that the manifest refers to.
func incomplete(err error) bool {
	terr, ok := errors.AsType[*transport.Error](err)
	return ok && has(terr, transport.ManifestBlobUnknownErrorCode,
		transport.BlobUnknownErrorCode, transport.ManifestUnknownErrorCode)
}

// untrusted reports whether err is about a certificate that this machine doesn't
// trust.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// hostOf returns the host that err came from, perhaps after a redirect; empty if
// that isn't known.
func hostOf(err error) string {
	if terr, ok := errors.AsType[*transport.Error](err); ok && terr.Request != nil {
		return terr.Request.URL.Host
	}
	if nerr, ok := errors.AsType[*netError](err); ok {
		return nerr.host
	}
	return ""
}

// original returns the request that was redirected to req, and how many times.
func original(req *http.Request) (_ *http.Request, redirects int) {
	for req.Response != nil && req.Response.Request != nil {
		req, redirects = req.Response.Request, redirects+1
	}
	return req, redirects
}

// retryAfter reads the header Retry-After: seconds or a date (RFC 9110, section
// 10.2.3). Without one it returns 0.
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

// reason is err in a few words, without the address of the request, whose query may
// hold a secret.
func reason(err error) string {
	if terr, ok := errors.AsType[*transport.Error](err); ok {
		return strings.Join(append([]string{status(terr.StatusCode)}, diagnostics(terr)...), ": ")
	}
	text := err.Error()
	if uerr, ok := errors.AsType[*url.Error](err); ok {
		text = uerr.Err.Error()
	}
	if text == io.EOF.Error() || text == io.ErrUnexpectedEOF.Error() {
		text = "the connection was closed in the middle (" + text + ")"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		text = "it doesn't speak TLS" // the error shows what it spoke
	}
	// ggcr adds the token server's answer, which may hold a token.
	if strings.Contains(text, "no token in bearer response") {
		text = "the token server's answer has no token"
	}
	// ggcr tries TLS first, and reports both.
	if plain, ok := errors.AsType[*plainError](err); ok && !strings.Contains(text, plain.Error()) {
		text += "; " + plain.Error()
	}
	return wording.Clip(text)
}

func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// diagnostics are the registry's own messages (OCI distribution spec, "Error
// Codes"), or else the text of its answer.
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
		if raw = wording.Clip(raw); raw != "" && !strings.HasPrefix(raw, "<") { // not a page for a browser
			all = append(all, raw)
		}
	}
	return all
}

// detail is a diagnostic's detail as text. Some registries put there, in a form of
// their own, what others put in the message.
func detail(d any) string {
	if m, ok := d.(map[string]any); ok && len(m) == 1 && m["message"] != nil {
		d = m["message"]
	}
	if text, ok := d.(string); ok {
		return text
	}
	text, _ := json.Marshal(d)
	if empty := string(text); empty == "null" || empty == "{}" {
		return ""
	}
	return string(text)
}
