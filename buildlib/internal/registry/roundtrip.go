package registry

import (
	"fmt"
	"net/http"
)

// maxRedirects is how often a request may be redirected, as in net/http.
const maxRedirects = 10

// redirectError says that a host redirects requests on and on.
type redirectError struct{ host string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("%s: stopped after %d redirects", e.host, maxRedirects)
}

// RoundTrip implements http.RoundTripper. Bodies are taken from GetBody where there
// is one; then Body is not closed, for it is ggcr's, in memory, or a stand-in.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	op := w.operationOf(req.Context(), req.URL.Host)
	if err := w.guard(req, op); err != nil {
		return nil, err
	}
	// The handshake of the distribution API, "GET /v2/" (OCI distribution
	// spec, end-1), says the same for all repositories of a registry.
	if req.Method == http.MethodGet && req.URL.Path == "/v2/" && req.URL.RawQuery == "" {
		return w.ping(req, op)
	}
	resp, err := w.repeat(req, op)
	if err != nil || req.Method != http.MethodGet || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	resp.Body = &resuming{w: w, op: op, req: req, body: resp.Body, size: resp.ContentLength}
	if isManifest(req) {
		resp.Body = &bounded{resp.Body, manifestLimit}
	}
	return resp, nil
}

// guard refuses what was redirected too often (ggcr's clients look at where a
// redirect leads, and then no longer count), and plain HTTP unless the host may
// speak it, and so may the registry that the request is for, and no redirect
// led here from TLS.
func (w *wire) guard(req *http.Request, op *operation) error {
	if _, redirects := first(req); redirects > maxRedirects {
		return &redirectError{req.URL.Host}
	}
	if req.URL.Scheme != "http" {
		return nil
	}
	downgraded := req.Response != nil && req.Response.Request != nil && req.Response.Request.URL.Scheme == "https"
	if downgraded || !op.plain || !w.plain(req.URL.Host) {
		return &plainError{req.URL.Host}
	}
	return nil
}
