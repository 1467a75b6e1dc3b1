package targets

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/disk"
)

// trace is a timeline in the Trace Event Format, which Perfetto and chrome://tracing
// read: a complete event for each step, in lanes in which steps don't overlap, and an
// instant event for each wait or warning.
type trace struct {
	path  string
	start time.Time

	mu     sync.Mutex
	events []traceEvent
	open   []openStep // by lane
}

type traceEvent struct {
	Name  string            `json:"name"`
	Cat   string            `json:"cat"`
	Phase string            `json:"ph"`
	At    int64             `json:"ts"` // microseconds
	Took  int64             `json:"dur,omitempty"`
	PID   int               `json:"pid"`
	Lane  int               `json:"tid"`
	Scope string            `json:"s,omitempty"`
	Args  map[string]string `json:"args,omitempty"`
}

// openStep is a lane's running step. The zero value: the lane is free.
type openStep struct {
	key [3]string
	at  time.Time
}

// tracing is the trace of this process; mage runs several targets in one.
var tracing *trace

// traced passes events on, and records them if path names a file for them.
func traced(path string, next func(buildlib.Event)) func(buildlib.Event) {
	if path == "" {
		tracing = nil
		return next
	}
	if tracing == nil || tracing.path != path {
		tracing = &trace{path: path, start: time.Now()}
	}
	t := tracing
	return func(e buildlib.Event) {
		t.event(e, time.Now())
		next(e)
	}
}

func (t *trace) event(e buildlib.Event, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [3]string{string(e.Step), e.Subject, e.Platform}
	event := traceEvent{Name: cleanLine(e.Subject), Cat: key[0], Phase: "X", PID: 1, Args: map[string]string{}}
	for name, value := range map[string]string{"platform": e.Platform, "detail": cleanLine(e.Detail)} {
		if value != "" {
			event.Args[name] = value
		}
	}
	if e.Err != nil {
		event.Args["error"] = cleanLine(e.Err.Error())
	}
	switch e.Step {
	case buildlib.StepDetail:
		return
	case buildlib.StepWait, buildlib.StepWarn:
		event.Phase, event.Scope, event.At = "i", "g", now.Sub(t.start).Microseconds()
		t.events = append(t.events, event)
		return
	}
	if e.Progress != "" {
		return
	}
	event.Name = fmt.Sprintf("%s %s", e.Step, event.Name)
	lane := 0
	for lane < len(t.open) && (e.Done && t.open[lane].key != key || !e.Done && !t.open[lane].at.IsZero()) {
		lane++
	}
	if !e.Done {
		if lane == len(t.open) {
			t.open = append(t.open, openStep{})
		}
		t.open[lane] = openStep{key, now}
		return
	}
	if lane == len(t.open) {
		return // it began before the trace
	}
	event.At, event.Took, event.Lane = t.open[lane].at.Sub(t.start).Microseconds(), max(1, now.Sub(t.open[lane].at).Microseconds()), lane
	t.open[lane] = openStep{}
	t.events = append(t.events, event)
}

// writeTrace writes the trace up to now, if there is one.
func writeTrace() error {
	t := tracing
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	data, err := json.Marshal(map[string]any{"traceEvents": t.events, "displayTimeUnit": "ms"})
	if err == nil {
		err = disk.WriteBytes(t.path, filepath.Dir(t.path), 0o644, data)
	}
	if err != nil {
		return fmt.Errorf("%sTRACE: %w", prefix, err)
	}
	return nil
}
