package targets

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib"
)

func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	passed := 0
	event := traced(path, func(buildlib.Event) { passed++ })
	t.Cleanup(func() { tracing = nil })
	step := func(step buildlib.Step, platform string, done bool, err error) {
		event(buildlib.Event{Step: step, Subject: "app", Platform: platform, Done: done, Err: err})
		time.Sleep(time.Millisecond)
	}
	step(buildlib.StepCompile, "linux/amd64", false, nil)
	step(buildlib.StepCompile, "linux/arm64", false, nil)
	event(buildlib.Event{Step: buildlib.StepWait, Subject: "registry", Done: true})
	event(buildlib.Event{Step: buildlib.StepCompile, Subject: "app", Platform: "linux/arm64", Progress: "1 of 2 MB"})
	step(buildlib.StepCompile, "linux/amd64", true, nil)
	step(buildlib.StepImage, "linux/amd64", false, nil)
	step(buildlib.StepImage, "linux/amd64", true, nil)
	step(buildlib.StepCompile, "linux/arm64", true, errors.New("why"))
	if err := writeTrace(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		TraceEvents []struct {
			Name, Cat, Ph string
			Ts, Dur       int64
			Tid           int
			Args          map[string]string
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if passed != 8 || len(got.TraceEvents) != 4 {
		t.Fatalf("%d events passed on; the trace is %s", passed, data)
	}
	wait, amd64, image, arm64 := got.TraceEvents[0], got.TraceEvents[1], got.TraceEvents[2], got.TraceEvents[3]
	if wait.Ph != "i" || amd64.Ph != "X" || amd64.Name != "compile app" || amd64.Args["platform"] != "linux/amd64" {
		t.Errorf("the trace is %s", data)
	}
	if amd64.Tid == arm64.Tid || amd64.Tid != image.Tid || image.Ts < amd64.Ts+amd64.Dur || arm64.Dur < image.Dur || arm64.Args["error"] != "why" {
		t.Errorf("steps that overlap, or don't, are in the wrong lanes: %s", data)
	}
}

func TestLogSaysHowFarAStepIs(t *testing.T) {
	var said strings.Builder
	c := &console{err: &said, size: func() (int, int) { return 0, 0 }}
	e := buildlib.Event{Step: buildlib.StepPush, Subject: "ghcr.io/acme/app"}
	c.event(e)
	e.Progress = "1.5 of 3.0 MB"
	c.event(e)
	c.logRunning(time.Now().Add(30 * time.Second))
	if got := said.String(); !strings.Contains(got, "push ghcr.io/acme/app (1.5 of 3.0 MB, 30s)") {
		t.Errorf("it says %q", got)
	}
	e.Progress, e.Done = "", true
	c.event(e)
	if len(c.running) != 0 {
		t.Errorf("%v still runs", c.running)
	}
}
