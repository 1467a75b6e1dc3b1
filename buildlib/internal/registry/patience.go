package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// Waits between tries double from firstWait up to longestWait times it.
	firstWait   = 500 * time.Millisecond
	longestWait = 20
	// fewestTries is how often an operation is tried, however long that takes:
	// one upload over a slow line may take longer than the patience.
	fewestTries = 3
	// reportEvery is how often a wait for a registry is reported.
	reportEvery = 30 * time.Second
)

// patience is how the operations of a client wait for registries.
type patience struct {
	limit     time.Duration // of an operation, from its first failure
	firstWait time.Duration
	uploads   *slots
	log       func(format string, args ...any)
	onWait    func(text string) // as Options.Wait

	mu       sync.Mutex
	holds    map[string]hold      // by host
	reported map[string]time.Time // by host: when a wait for it was last reported
}

// hold is the time until which a registry asked for no requests, and the status of
// that answer.
type hold struct {
	until  time.Time
	status string
}

// hold keeps all requests from the host for d.
func (p *patience) hold(host string, d time.Duration, status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := time.Now().Add(d); d > 0 && at.After(p.holds[host].until) {
		p.holds[host] = hold{at, status}
	}
}

// report says that a host is waited for, and why: at once, and then once every
// reportEvery, however many requests wait.
func (p *patience) report(host, reason string) {
	if host == "" {
		return
	}
	p.mu.Lock()
	now := time.Now()
	last, ok := p.reported[host]
	due := !ok || now.Sub(last) >= reportEvery
	if due {
		p.reported[host] = now
	}
	p.mu.Unlock()
	if due {
		p.onWait(fmt.Sprintf("registry %s: %s: trying again, for up to %s", host, reason, p.limit))
	}
}

// operation is something that may take several tries, such as pushing a blob. Each
// takes one or more requests. It travels in their context, so that all of them
// share its patience.
type operation struct {
	*patience
	what     string // for people: "ghcr.io/acme/x: push tag v1"
	registry string // whose slots it uses
	plain    bool   // whether plain HTTP will do, where the host may speak it
	pull     bool   // whether it only reads
	alone    bool   // whether it is one request, whose error must say what was tried
	hasSlot  bool   // for an upload; it is given back while waiting
	once     bool   // whether to try only once: the registry is known to be down

	mu       sync.Mutex
	failures int
	since    time.Time     // the first failure
	over     bool          // patience has run out
	asked    time.Duration // the wait that the registry last asked for
}

type operationKey struct{}

func (op *operation) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, operationKey{}, op)
}

// operationOf returns the operation that a request to the host belongs to. A
// request that belongs to none, such as a pull by ggcr, is one of its own.
func (p *patience) operationOf(ctx context.Context, host string) *operation {
	if op, ok := ctx.Value(operationKey{}).(*operation); ok {
		return op
	}
	return &operation{patience: p, what: "pull", registry: host, plain: true, alone: true}
}

// do calls f, in a context that carries op, until it succeeds, fails for good,
// or patience ends; the error is then f's last.
func (op *operation) do(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(op.with(ctx))
		if err == nil || ctx.Err() == nil && !transient(err) {
			return err
		}
		if err := op.again(ctx, err); err != nil {
			return err
		}
	}
}

// again waits before the next try of what failed with err. If there is none, it
// returns err, or the cause of ctx's end.
func (op *operation) again(ctx context.Context, err error) error {
	if ctx.Err() == nil && op.wait(ctx, cmp.Or(hostOf(err), op.registry), "", reason(err), 0) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if isFailure(err) {
		return fmt.Errorf("%w (%s)", err, op.effort()) // of another operation, which this one tried again
	}
	return err
}

// errImpatient says that there is no next try.
var errImpatient = errors.New("patience has run out")

// wait waits before the next try, at least for as long as the registry asked for.
// reason is why the last one failed at the host, and at the request, for the log;
// it may be empty. wait returns errImpatient if there is no next try, or the cause
// of ctx's end.
func (op *operation) wait(ctx context.Context, host, at, reason string, asked time.Duration) error {
	d, ok := op.next(asked)
	if !ok {
		return errImpatient
	}
	if at != "" {
		at += ": "
	}
	op.log("%s: %s%s: trying again in %s", op.what, at, reason, d.Round(time.Millisecond))
	return op.pause(ctx, host, reason, d)
}

// next returns how long to wait before the next try, and whether there is one.
func (op *operation) next(asked time.Duration) (time.Duration, bool) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.over || op.once {
		op.over = true
		return 0, false
	}
	now := time.Now()
	if op.failures++; op.failures == 1 {
		op.since = now
	}
	d := min(op.firstWait<<min(op.failures-1, 10), longestWait*op.firstWait)
	d = d*3/4 + rand.N(d/2+1) // jitter: three to five quarters
	d, op.asked = max(d, asked), asked
	left := op.limit - now.Sub(op.since)
	op.over = d > op.limit || (d > left && op.failures >= fewestTries)
	return d, !op.over
}

// progress notes that a try got somewhere: patience starts anew. Otherwise large
// blobs would never get through a connection that breaks now and then.
func (op *operation) progress() {
	op.mu.Lock()
	defer op.mu.Unlock()
	if !op.over {
		op.failures, op.since = 0, time.Time{}
	}
}

// isOver reports whether patience has run out.
func (op *operation) isOver() bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.over
}

// effort says how long op was tried; empty if it failed at once.
func (op *operation) effort() string {
	op.mu.Lock()
	defer op.mu.Unlock()
	switch {
	case op.failures > 1:
		return fmt.Sprintf("gave up after %d tries in %s", op.failures, round(time.Since(op.since)))
	case op.over && !op.once: // if once, another operation's error says how long it was tried
		return fmt.Sprintf("the registry asks to wait for %s, longer than the limit of %s", round(op.asked), op.limit)
	}
	return ""
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// gate waits until the host accepts requests again.
func (op *operation) gate(ctx context.Context, host string) error {
	for {
		op.patience.mu.Lock()
		h := op.holds[host]
		op.patience.mu.Unlock()
		d := time.Until(h.until)
		if d <= 0 {
			return nil
		}
		if d > op.limit {
			return fmt.Errorf("%s answered %s and asks to be left alone for %s, longer than the limit of %s", host, h.status, d.Round(time.Second), op.limit)
		}
		if err := op.pause(ctx, host, h.status, d); err != nil {
			return err
		}
	}
}

// pause sleeps. Meanwhile another upload may have the slot.
func (op *operation) pause(ctx context.Context, host, reason string, d time.Duration) error {
	again := op.hasSlot
	op.release()
	for ; d > 0; d -= reportEvery {
		op.report(host, reason)
		timer := time.NewTimer(min(d, reportEvery))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	if again {
		return op.acquire(ctx)
	}
	return nil
}

// acquire waits for a slot for an upload.
func (op *operation) acquire(ctx context.Context) error {
	err := op.uploads.acquire(ctx, op.registry)
	op.hasSlot = err == nil
	return err
}

func (op *operation) release() {
	if op.hasSlot {
		op.hasSlot = false
		op.uploads.release(op.registry)
	}
}
