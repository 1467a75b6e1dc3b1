package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errStalled is the end of a request during which nothing, or next to nothing,
// moved for too long.
var errStalled = errors.New("stalled: less than 1 kB moved")

const (
	// slowest is how many bytes of an answer must come in the time of a
	// stall: fewer may come for ever.
	slowest = 1 << 10
	// answerTime is for how long an answer that is no blob is read.
	answerTime = 2 * time.Minute
)

// watchdog cancels a request unless it is touched every so often.
type watchdog struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// touch starts the time anew, n times as long as the limit.
func (d *watchdog) touch(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.timer.Reset(time.Duration(n) * d.limit)
	}
}

// rest stops the time until the next touch.
func (d *watchdog) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer.Stop()
}

// end stops the time for good.
func (d *watchdog) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.timer.Stop()
}

// watched is a body being sent. Time counts while the network has the data,
// not while the data is read or compressed.
type watched struct {
	io.ReadCloser
	dog       *watchdog
	digesting int // how many times longer the answer may take once all is sent
	fault     *localFault
}

func (b *watched) Read(p []byte) (int, error) {
	b.dog.rest()
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.dog.touch(1)
	} else {
		b.dog.touch(b.digesting)
	}
	if err != nil && err != io.EOF {
		b.fault.set(err)
	}
	return n, err
}

// localFault is why the body of a request could not be read, which is not the
// network's fault. The zero value is none.
type localFault struct {
	mu    sync.Mutex
	ended bool
	err   error
}

func (f *localFault) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended && f.err == nil {
		f.err = err
	}
}

// end returns the fault, if there was one so far. Bodies are closed once a
// request has ended, and then reading them fails.
func (f *localFault) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	return f.err
}

// received is the body of an answer. Time counts while it is waited for.
type received struct {
	body   io.ReadCloser
	ctx    context.Context // of the request; what ended it is the error
	cancel context.CancelCauseFunc
	host   string
	limit  time.Duration // for slowest bytes
	left   time.Duration // of limit
	got    int           // of slowest bytes
	whole  time.Duration // for the rest of the body; 0: any
}

func (b *received) Read(p []byte) (int, error) {
	limit, cause := b.left, error(&netError{b.host, fmt.Errorf("%w in %s", errStalled, b.limit)})
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
