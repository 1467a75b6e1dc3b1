package registry

import (
	"context"
	"fmt"
	"time"
)

// hold is a registry's wish not to be asked before a time, and the status that
// it came with.
type hold struct {
	until  time.Time
	status string
}

// hold keeps all requests from the host for d.
func (w *wire) hold(host string, d time.Duration, status string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := time.Now().Add(d); d > 0 && at.After(w.until[host].until) {
		w.until[host] = hold{at, status}
	}
}

// gate waits until the host wants to be asked again.
func (w *wire) gate(ctx context.Context, host string, t *trial) error {
	for {
		w.mu.Lock()
		h := w.until[host]
		w.mu.Unlock()
		d := time.Until(h.until)
		if d <= 0 {
			return nil
		}
		if d > w.patience {
			return fmt.Errorf("%s answered %s and asks to be left alone for %s, which is longer than it will be waited for", host, h.status, d.Round(time.Second))
		}
		if err := t.pause(ctx, host, h.status, d); err != nil {
			return err
		}
	}
}

// tellAgain is how often it is told that a registry is waited for.
const tellAgain = 30 * time.Second

// tell says that a host is waited for, and why: at once, and then every now and
// then, however many requests wait.
func (w *wire) tell(host, reason string) {
	if host == "" {
		return
	}
	w.mu.Lock()
	now := time.Now()
	last, ok := w.told[host]
	due := !ok || now.Sub(last) >= tellAgain
	if due {
		w.told[host] = now
	}
	w.mu.Unlock()
	if due {
		w.waiting(fmt.Sprintf("registry %s: %s: trying again, for up to %s", host, reason, w.patience))
	}
}
