package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"
)

// ping asks a registry how to log in. Where plain HTTP is allowed, ggcr tries TLS
// and then plain HTTP, and may report the wrong one's error. So the request for TLS
// gets the answer of a registry that speaks plain HTTP, and an invalid certificate
// is the error of both.
func (w *wire) ping(req *http.Request, op *operation) (*http.Response, error) {
	resp, err := w.pingOnce(req, op)
	var record tls.RecordHeaderError
	switch {
	case req.URL.Scheme == "https" && w.probes(req, op) && (errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record)):
		plain := req.Clone(req.Context())
		plain.URL.Scheme = "http"
		resp, err = w.pingOnce(plain, op)
	case req.URL.Scheme == "http" && err == nil && !answersPing(resp.StatusCode):
		ctx, cancel := context.WithTimeout(req.Context(), 5*time.Second) // a handshake takes less
		defer cancel()
		if secure := w.pinged(ctx, "https://"+req.URL.Host); untrusted(secure.err) {
			resp.Body.Close()
			return nil, secure.err
		}
	}
	return resp, err
}

func answersPing(status int) bool {
	return status == http.StatusOK || status == http.StatusUnauthorized
}

// pinged returns what is known of a registry, after a ping that is under way.
func (w *wire) pinged(ctx context.Context, url string) ping {
	if done, err := w.turns.take(ctx, url); err == nil {
		defer done()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pings[url]
}

// pingOnce sends the request, unless its answer is known.
func (w *wire) pingOnce(req *http.Request, op *operation) (*http.Response, error) {
	url := req.URL.Scheme + "://" + req.URL.Host
	done, err := w.turns.take(req.Context(), url)
	if err != nil {
		return nil, err
	}
	defer done()
	w.mu.Lock()
	known := w.pings[url]
	w.mu.Unlock()
	if known.status == 0 {
		ctx, cancel := context.WithCancel(req.Context())
		resp, err := w.repeat(req.WithContext(ctx), op)
		if err == nil && answersPing(resp.StatusCode) {
			known.status, known.header = resp.StatusCode, resp.Header.Clone()
		}
		known.err = err
		w.mu.Lock()
		w.pings[url] = known
		w.mu.Unlock()
		if known.status == 0 {
			context.AfterFunc(req.Context(), cancel)
			return resp, err
		}
		// The body says nothing. It is read only so that the connection is
		// reused.
		soon := time.AfterFunc(time.Second, cancel)
		_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody)
		soon.Stop()
		resp.Body.Close()
		cancel()
	}
	return &http.Response{
		Status: status(known.status), StatusCode: known.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: known.header.Clone(), Body: http.NoBody, Request: req,
	}, nil
}
