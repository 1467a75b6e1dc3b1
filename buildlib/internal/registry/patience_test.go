package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func TestHold(t *testing.T) {
	c := client(t, Options{Patience: time.Second})
	c.wire.hold("a", 50*time.Millisecond, "503 Service Unavailable")
	start := time.Now()
	if err := c.wire.operationOf(t.Context(), "a").gate(t.Context(), "b"); err != nil || time.Since(start) > 40*time.Millisecond {
		t.Errorf("another host waits, too: %v", err)
	}
	if err := c.wire.operationOf(t.Context(), "a").gate(t.Context(), "a"); err != nil || time.Since(start) < 50*time.Millisecond {
		t.Errorf("waited %s: %v", time.Since(start), err)
	}
	c.wire.hold("a", time.Hour, "503 Service Unavailable")
	if err := c.wire.operationOf(t.Context(), "a").gate(t.Context(), "a"); err == nil {
		t.Error("an hour was waited for")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"-1":                            0,
		"soon":                          0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

// Waits grow, up to a bound, and no two clients that failed together come back
// together.
func TestBackoff(t *testing.T) {
	c := client(t, Options{Patience: 24 * time.Hour})
	c.wire.firstWait = time.Second
	first := map[time.Duration]bool{}
	for range 20 {
		op := c.wire.operationOf(t.Context(), "a")
		want := time.Second
		for try := range 8 {
			d, ok := op.next(0)
			if !ok || d < want*3/4 || d > want*5/4+1 {
				t.Fatalf("wait %d: %s, %t; want about %s", try, d, ok, want)
			}
			if try == 0 {
				first[d] = true
			}
			want = min(2*want, longestWait*time.Second)
		}
		if d, ok := op.next(time.Hour); !ok || d != time.Hour {
			t.Errorf("waits for %s, %t; asked for an hour", d, ok)
		}
		if d, ok := op.next(25 * time.Hour); ok {
			t.Errorf("waits for %s, longer than it has patience", d)
		}
	}
	if len(first) < 10 {
		t.Errorf("20 clients wait %d different times", len(first))
	}
}

func TestPatience(t *testing.T) {
	c := client(t, Options{Patience: 30 * time.Millisecond})
	op := c.wire.operationOf(t.Context(), "a")
	start := time.Now()
	var err error
	for err == nil {
		err = op.wait(t.Context(), "", "", "test", 0)
	}
	if d := time.Since(start); !errors.Is(err, errImpatient) || d > time.Second {
		t.Errorf("%v after %s", err, d)
	}
	if op.failures < fewestTries {
		t.Errorf("%d tries", op.failures)
	}
	// The slow get their tries, too.
	op = c.wire.operationOf(t.Context(), "a")
	op.failures, op.since = 1, time.Now().Add(-time.Hour)
	if err := op.wait(t.Context(), "", "", "test", 0); err != nil {
		t.Errorf("no second try after a long first one: %v", err)
	}
}

func TestBrief(t *testing.T) {
	long := &transport.Error{StatusCode: 400, Errors: []transport.Diagnostic{{Code: "X", Message: strings.Repeat("long\n", 400)}}}
	if got := reason(fmt.Errorf("wrapped: %w", long)); len(got) > 400 || strings.Contains(got, "\n") || !strings.HasPrefix(got, "400 Bad Request: X long") {
		t.Errorf("%q", got)
	}
}
