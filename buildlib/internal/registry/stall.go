package registry

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// slowest is how many bytes of an answer must arrive within Options.Stall:
	// single bytes could trickle in for ever.
	slowest = 1 << 10
	// answerTime is how long an answer other than a blob may take.
	answerTime = 2 * time.Minute
)

// stalled is the error of a request to the host that stalled.
func stalled(host string, limit time.Duration) error {
	return &netError{host, fmt.Errorf("%w in %s", errStalled, limit)}
}

// sending watches the body of a request while it is sent. It calls stalled if the
// network takes no data for limit; the time for reading or compressing the data
// doesn't count.
type sending struct {
	limit time.Duration
	last  time.Duration // the limit for the answer after all is sent

	mu    sync.Mutex
	timer *time.Timer
	ended bool
	fault error // of reading the data, and not of the network
}

func newSending(limit, last time.Duration, stalled func()) *sending {
	return &sending{limit: limit, last: last, timer: time.AfterFunc(limit, stalled)}
}

// reader returns a body that s watches.
func (s *sending) reader(body io.ReadCloser) io.ReadCloser { return &watched{body, s} }

type watched struct {
	io.ReadCloser
	s *sending
}

func (w *watched) Read(p []byte) (int, error) {
	w.s.mu.Lock()
	w.s.timer.Stop()
	w.s.mu.Unlock()
	n, err := w.ReadCloser.Read(p)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.ended {
		return n, err
	}
	if err == nil {
		w.s.timer.Reset(w.s.limit)
		return n, nil
	}
	w.s.timer.Reset(w.s.last)
	if err != io.EOF && w.s.fault == nil {
		w.s.fault = err
	}
	return n, err
}

// end stops the watch, and returns the error of reading the data, if there was one.
// Errors after the end don't count: net/http closes bodies then.
func (s *sending) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.timer.Stop()
	return s.fault
}

// received is the body of an answer. Only the time that Read waits counts.
type received struct {
	body   io.ReadCloser
	ctx    context.Context // of the request; its cause is the error
	cancel context.CancelCauseFunc
	host   string
	limit  time.Duration // for slowest bytes
	left   time.Duration // of limit
	got    int           // of slowest bytes
	whole  time.Duration // what is left for the whole body; 0: no limit
}

func (b *received) Read(p []byte) (int, error) {
	limit, cause := b.left, stalled(b.host, b.limit)
	if b.whole > 0 && b.whole < limit {
		limit, cause = b.whole, fmt.Errorf("%s takes too long to answer", b.host)
	}
	start := time.Now()
	timer := time.AfterFunc(limit, func() { b.cancel(cause) })
	n, err := b.body.Read(p)
	timer.Stop()
	took := time.Since(start)
	if b.left -= took; b.whole > 0 {
		b.whole = max(1, b.whole-took)
	}
	if b.got += n; b.got >= slowest {
		b.got, b.left = 0, b.limit
	}
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			return n, cause
		}
		err = &netError{b.host, err}
	}
	return n, err
}

func (b *received) Close() error {
	err := b.body.Close()
	b.cancel(nil)
	return err
}

// manifestLimit is the size of the largest manifest that is read, in bytes.
// Registries accept 4 MB (OCI distribution spec, "Pushing Manifests").
const manifestLimit = 16 << 20

// bounded is a body of which at most left bytes are read.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("a manifest of more than %d bytes", manifestLimit)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
