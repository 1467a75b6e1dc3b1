package registry

import (
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// resuming is the body of an answer to a GET. When the connection fails in
// the middle, it asks for the rest (RFC 9110, section 14.2), or for all of it
// again if the server knows no ranges. Whoever reads checks the digest.
type resuming struct {
	w     *wire
	t     *trial
	req   *http.Request
	body  io.ReadCloser
	off   int64
	size  int64 // -1: not known
	fresh int64 // bytes since the last failure, or since progress was told
}

func (b *resuming) Read(p []byte) (int, error) {
	for {
		n, err := b.body.Read(p)
		b.off += int64(n)
		if b.fresh += int64(n); b.fresh >= slowest {
			b.fresh = 0
			b.t.progress()
		}
		if err == nil || err == io.EOF || n > 0 {
			if n > 0 && err != io.EOF {
				err = nil // if it persists, the next Read gets it
			}
			return n, err
		}
		for ; err != nil; err = b.resume() {
			if b.req.Context().Err() != nil || !passing(err) {
				return 0, err
			}
			b.fresh = 0
			at := fmt.Sprintf("GET %s at byte %d", b.req.URL.Host+b.req.URL.Path, b.off)
			if b.t.wait(b.req.Context(), b.t.host(err), at, brief(err), 0) != nil {
				return 0, b.t.gaveUp(err)
			}
		}
	}
}

// Expired is why the rest of a body can't be had: the login, or the address
// that the request was sent on to, was good for a short time only. The same
// request from the start may succeed.
type Expired struct{ Status int }

func (e *Expired) Error() string {
	return "can't go on after the connection broke: " + status(e.Status)
}

// StartOver tells those who don't know this type that they may try again.
func (e *Expired) StartOver() bool { return true }

// resume continues the body at b.off.
func (b *resuming) resume() error {
	req := b.req.Clone(b.req.Context())
	rest := fmt.Sprintf("bytes=%d-", b.off)
	if b.size > 0 {
		rest += fmt.Sprint(b.size - 1) // some know no open ranges
	}
	req.Header.Set("Range", rest)
	resp, err := b.w.repeat(req, b.t)
	if err != nil {
		return err
	}
	body := resp.Body
	if m, ok := body.(*bounded); ok {
		body = m.ReadCloser
	}
	if r, ok := body.(*resuming); ok {
		body = r.body // one layer of resuming is enough
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var first, last int64
		_, err = fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
		if err != nil || first != b.off {
			err = fmt.Errorf("%s answers with another range than asked for", req.URL.Host)
		}
	case http.StatusOK:
		_, err = io.CopyN(io.Discard, body, b.off)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		err = &Expired{resp.StatusCode}
	default:
		err = transport.CheckError(resp, http.StatusPartialContent)
	}
	if err != nil {
		body.Close()
		return err
	}
	b.body.Close()
	b.body = body
	return nil
}

func (b *resuming) Close() error { return b.body.Close() }
