package registry

import (
	"fmt"
	"net/http"
)

// maxRedirects is how often a request may be redirected, as in net/http.
const maxRedirects = 10

// redirectError is the error of a request that was redirected too often.
type redirectError struct{ host string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("%s: stopped after %d redirects", e.host, maxRedirects)
}

// RoundTrip implements http.RoundTripper. If there is a GetBody, the body comes from
// it, and Body is not closed: it is ggcr's, in memory, or a fromGetBody.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	op := w.operationOf(req.Context(), req.URL.Host)
	if err := w.guard(req, op); err != nil {
		return nil, err
	}
	// "GET /v2/" (OCI distribution spec, end-1) has the same answer for all
	// repositories of a registry.
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

// guard refuses requests that were redirected too often, which ggcr's clients don't
// count because they check redirects themselves. It refuses plain HTTP unless it is
// allowed to both the registry and this host, and no redirect led here from TLS.
func (w *wire) guard(req *http.Request, op *operation) error {
	if _, redirects := original(req); redirects > maxRedirects {
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
