package publish

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// resuming is the body of an answer to a GET. When the connection fails in
// the middle, it asks for the rest (RFC 9110, section 14.2), or for all of it
// again if the server knows no ranges. Whoever reads checks the digest.
type resuming struct {
	w    *wire
	t    *trial
	req  *http.Request
	body io.ReadCloser
	off  int64
	size int64 // -1: not known
}

func (b *resuming) Read(p []byte) (int, error) {
	for {
		n, err := b.body.Read(p)
		b.off += int64(n)
		if err == nil || err == io.EOF || n > 0 {
			if n > 0 && err != io.EOF {
				err = nil // if it persists, the next Read gets it
			}
			return n, err
		}
		if b.req.Context().Err() != nil || !passingNet(err) {
			return 0, err
		}
		reason := fmt.Sprintf("GET %s at byte %d: %s", b.req.URL.Host+b.req.URL.Path, b.off, brief(err))
		if werr := b.t.wait(b.req.Context(), reason, 0); werr != nil {
			return 0, err
		}
		if !b.resume() {
			return 0, err
		}
	}
}

// resume continues the body at b.off, and reports whether it could.
func (b *resuming) resume() bool {
	req := b.req.Clone(b.req.Context())
	rest := fmt.Sprintf("bytes=%d-", b.off)
	if b.size > 0 {
		rest += fmt.Sprint(b.size - 1) // some know no open ranges
	}
	req.Header.Set("Range", rest)
	resp, err := b.w.repeat(req, b.t)
	if err != nil {
		return false
	}
	body := resp.Body
	if r, ok := body.(*resuming); ok {
		body = r.body // one layer of resuming is enough
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var first, last int64
		_, err = fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
		if err == nil && first != b.off {
			err = errors.New("another range than asked for")
		}
	case http.StatusOK:
		_, err = io.CopyN(io.Discard, body, b.off)
	default:
		err = errors.New(resp.Status)
	}
	if err != nil {
		body.Close()
		return false
	}
	b.body.Close()
	b.body = body
	return true
}

func (b *resuming) Close() error { return b.body.Close() }
