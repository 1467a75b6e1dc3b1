package registry

import (
	"cmp"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// resuming is the body of an answer to a GET. If the connection breaks, it asks for
// the rest (RFC 9110, section 14.2); a server without ranges sends all of it again.
// The reader checks the digest.
type resuming struct {
	w     *wire
	op    *operation
	req   *http.Request
	body  io.ReadCloser
	off   int64
	size  int64 // -1: not known
	fresh int64 // bytes since the last failure or call of progress
}

func (b *resuming) Read(p []byte) (int, error) {
	for {
		n, err := b.body.Read(p)
		b.off += int64(n)
		if b.fresh += int64(n); b.fresh >= slowest {
			b.fresh = 0
			b.op.progress()
		}
		if err == io.EOF && b.off < b.size { // the server sent less than the rest
			err = &netError{b.req.URL.Host, io.ErrUnexpectedEOF}
		}
		switch {
		case err == nil || err == io.EOF:
			return n, err
		case n > 0:
			return n, nil // the next Read gets the error again
		}
		for ; err != nil; err = b.resume() {
			if b.req.Context().Err() != nil || !transient(err) {
				return 0, err
			}
			b.fresh = 0
			at := fmt.Sprintf("GET %s at byte %d", b.req.URL.Host+b.req.URL.Path, b.off)
			if b.op.wait(b.req.Context(), cmp.Or(hostOf(err), b.op.registry), at, reason(err), 0) != nil {
				return 0, b.op.gaveUp(err)
			}
		}
	}
}

// resume continues the body at b.off.
func (b *resuming) resume() error {
	req := b.req.Clone(b.req.Context())
	rest := fmt.Sprintf("bytes=%d-", b.off)
	if b.size > 0 {
		rest += fmt.Sprint(b.size - 1) // some servers know no open ranges
	}
	req.Header.Set("Range", rest)
	resp, err := b.w.repeat(req, b.op)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var first, last int64
		_, err = fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
		if err != nil || first != b.off {
			err = fmt.Errorf("%s answers with another range than it was asked for", req.URL.Host)
		}
	case http.StatusOK:
		if _, err = io.CopyN(io.Discard, resp.Body, b.off); err == io.EOF {
			err = fmt.Errorf("%s answers with less than it did before", req.URL.Host)
		}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		err = &Expired{resp.StatusCode}
	default:
		err = transport.CheckError(resp, http.StatusPartialContent)
	}
	if err != nil {
		resp.Body.Close()
		return err
	}
	b.body.Close()
	b.body = resp.Body
	return nil
}

func (b *resuming) Close() error { return b.body.Close() }
