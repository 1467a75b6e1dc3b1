package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// repeat sends the request until its answer isn't transient, or patience runs out.
// It doesn't repeat the data of an upload: the caller does, from the start of the
// upload.
func (w *wire) repeat(req *http.Request, op *operation) (*http.Response, error) {
	ctx := req.Context()
	for {
		if err := op.gate(ctx, req.URL.Host); err != nil {
			return nil, err
		}
		resp, err := w.try(req, op)
		ended := func() (*http.Response, error) {
			if resp != nil {
				resp.Body.Close()
			}
			return nil, context.Cause(ctx)
		}
		var why string
		var asked time.Duration
		switch {
		case ctx.Err() != nil:
			return ended()
		case err == nil && (!transientStatus(resp.StatusCode) || misses(resp)), err != nil && !transient(err):
			return resp, err
		case err != nil:
			why = reason(err)
		default:
			why = status(resp.StatusCode)
			asked = retryAfter(resp.Header, time.Now())
			w.hold(req.URL.Host, asked, why)
		}
		if !repeatable(req) {
			return resp, err
		}
		host := req.URL.Host
		if w.probes(req, op) {
			host = ""
		}
		at := fmt.Sprintf("%s %s", req.Method, req.URL.Host+req.URL.Path)
		if werr := op.wait(ctx, host, at, why, asked); errors.Is(werr, errImpatient) {
			return resp, op.gaveUp(err)
		} else if werr != nil {
			return ended()
		}
		if resp != nil {
			io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection is reused
			resp.Body.Close()
		}
	}
}

// misses reports whether the answer says that a blob of the manifest is missing,
// which repeating the request can't change. distribution answers with an internal
// error if more is wrong with the manifest.
func misses(resp *http.Response) bool {
	if resp.Request == nil || resp.Request.Method != http.MethodPut {
		return false
	}
	start, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the next reader gets the error again
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	return bytes.Contains(start, []byte(transport.ManifestBlobUnknownErrorCode))
}

// probes reports whether the request only finds out whether a host that may speak
// plain HTTP speaks TLS: its failure is normal.
func (w *wire) probes(req *http.Request, op *operation) bool {
	return req.URL.Path == "/v2/" && req.URL.Scheme == "https" && op.plain && w.plain(req.URL.Host)
}

// gaveUp adds to the error of a request how long it was tried, unless the
// operation's error will say so. nil stays nil: there was an answer.
func (op *operation) gaveUp(err error) error {
	if effort := op.effort(); err != nil && effort != "" && op.alone {
		return &netError{hostOf(err), fmt.Errorf("%w: %s", err, effort)}
	}
	return err
}
