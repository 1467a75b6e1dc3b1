package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"
)

// ping is what a registry answered to GET /v2/.
type ping struct {
	asking chan struct{} // held by who asks, and looks at the rest
	status int           // 0: not known yet
	header http.Header
	err    error // of the last try, if it got no answer
}

func (w *wire) pingOf(scheme, host string) *ping {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.pings[scheme+"://"+host]
	if !ok {
		p = &ping{asking: make(chan struct{}, 1)}
		w.pings[scheme+"://"+host] = p
	}
	return p
}

// ping asks a registry for its ways of authentication. Where plain HTTP is
// allowed ggcr tries TLS first, then both, and may report the wrong one's
// error: so what speaks plain HTTP answers to the request for TLS, too, and a
// certificate that isn't valid is the error of both.
func (w *wire) ping(req *http.Request, t *trial) (*http.Response, error) {
	resp, err := w.pingOnce(req, t)
	either := t.plain && w.plain(req.URL.Host)
	switch {
	case req.URL.Scheme == "https" && either && (errors.Is(err, http.ErrSchemeMismatch) || badRecord(err)):
		plain := req.Clone(req.Context())
		plain.URL.Scheme = "http"
		return w.pingOnce(plain, t)
	case req.URL.Scheme == "http" && err == nil && !answersPing(resp.StatusCode):
		secure := w.pingOf("https", req.URL.Host)
		select {
		case secure.asking <- struct{}{}:
		case <-time.After(5 * time.Second): // a handshake takes less
			return resp, nil
		case <-req.Context().Done():
			return resp, nil
		}
		defer func() { <-secure.asking }()
		if untrusted(secure.err) {
			resp.Body.Close()
			return nil, secure.err
		}
	}
	return resp, err
}

func answersPing(status int) bool {
	return status == http.StatusOK || status == http.StatusUnauthorized
}

// badRecord reports whether what answered to TLS doesn't speak it.
func badRecord(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record)
}

// untrusted reports whether err is of a certificate that this machine doesn't
// trust.
func untrusted(err error) bool {
	var invalid *tls.CertificateVerificationError
	return errors.As(err, &invalid)
}

// pingOnce is the request, unless it was answered before.
func (w *wire) pingOnce(req *http.Request, t *trial) (*http.Response, error) {
	p := w.pingOf(req.URL.Scheme, req.URL.Host)
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	if p.status == 0 {
		ctx, cancel := context.WithCancel(req.Context())
		resp, err := w.repeat(req.WithContext(ctx), t)
		p.err = err
		if err != nil || !answersPing(resp.StatusCode) {
			context.AfterFunc(req.Context(), cancel)
			return resp, err
		}
		p.status, p.header = resp.StatusCode, resp.Header.Clone()
		// The body says nothing. It is read, so that the connection is used
		// again, if it is here.
		soon := time.AfterFunc(time.Second, cancel)
		_, _ = io.CopyN(io.Discard, resp.Body, refusal)
		soon.Stop()
		resp.Body.Close()
		cancel()
	}
	return &http.Response{
		Status: status(p.status), StatusCode: p.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.header.Clone(), Body: http.NoBody, Request: req,
	}, nil
}
