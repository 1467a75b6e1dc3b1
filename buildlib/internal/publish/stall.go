package publish

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// errStalled is the end of a request during which nothing moved for too long.
var errStalled = errors.New("stalled: no data moved")

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
}

func (b *watched) Read(p []byte) (int, error) {
	b.dog.rest()
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.dog.touch(1)
	} else {
		b.dog.touch(b.digesting)
	}
	return n, err
}

// received is a body being read. Time counts while it is waited for.
type received struct {
	body   io.ReadCloser
	ctx    context.Context
	dog    *watchdog
	cancel func()
}

func (b *received) Read(p []byte) (int, error) {
	b.dog.touch(1)
	n, err := b.body.Read(p)
	b.dog.rest()
	if cause := context.Cause(b.ctx); err != nil && err != io.EOF && cause != nil {
		err = cause
	}
	return n, err
}

func (b *received) Close() error {
	b.dog.end()
	err := b.body.Close()
	b.cancel()
	return err
}
