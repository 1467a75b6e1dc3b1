package bench

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench/internal/report"
)

// fakeGo is a go command that builds nothing: it writes what it is told to,
// after it did what it is told to.
func fakeGo(t *testing.T, does, writes string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	write(t, path, `#!/bin/sh
while [ "$1" != -o ]; do shift; done
`+does+`
printf %s "`+writes+`" >"$2/server"
`)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// faked runs a benchmark of one platform whose two sides are fake go commands.
func faked(t *testing.T, ctx context.Context, o buildlib.Overrides, native, emulated []string) (*buildlib.Plan, *Result, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake go command is a shell script")
	}
	p := plan(t, o)
	p.BenchPlan.Host = nil
	b, err := buildlib.Open(context.WithoutCancel(ctx), p, buildlib.Options{Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	result, err := run(ctx, b, func(ctx context.Context, b *bench) error {
		l := b.lines[0]
		l.native.argv = native
		l.emulator = &report.Emulator{Kind: "direct", Path: "qemu", Version: "9.9"}
		l.emulated = &benchSide{name: report.Emulated, argv: emulated}
		return nil
	})
	return p, result, err
}

// plan is that of a project of one main package, for one platform.
func plan(t *testing.T, o buildlib.Overrides) *buildlib.Plan {
	t.Helper()
	for key, value := range map[string]string{
		"GOENV": "off", "GOFLAGS": "", "GOWORK": "", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOEXPERIMENT": "", "GOFIPS140": "",
	} {
		t.Setenv(key, value)
	}
	dir := filepath.Join(t.TempDir(), "my project")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/acme\n\ngo 1.24\n")
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), "package main\n\nfunc main() {}\n")
	p, err := buildlib.Project{Dir: dir, Platforms: []string{"linux/loong64"}}.Plan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func benchJSON(t *testing.T, p *buildlib.Plan) report.Report {
	t.Helper()
	var r report.Report
	if err := json.Unmarshal([]byte(read(t, filepath.Join(p.Output, "bench", "bench.json"))), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// status is the exit status that an error stands for.
func status(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitStatus()
	}
	return 1
}

var twoRuns = buildlib.Overrides{Bench: buildlib.Bench{Runs: 2}}

func TestBenchSame(t *testing.T) {
	p, result, err := faked(t, t.Context(), twoRuns, fakeGo(t, "", "x"), fakeGo(t, "", "x"))
	if err != nil {
		t.Fatal(err)
	}
	r := benchJSON(t, p)
	for _, c := range r.Platforms[0].Cases {
		if c.Same == nil || !*c.Same || len(c.Native.Runs) != 2 || len(c.Emulated.Runs) != 2 {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	if !strings.Contains(result.Table, "linux/loong64") || !strings.Contains(result.Table, "yes") {
		t.Errorf("table\n%s", result.Table)
	}
	left, err := os.ReadDir(filepath.Join(p.Output, ".multimage", "tmp"))
	if err != nil || len(left) != 1 { // the lock
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestBenchDifferent(t *testing.T) {
	p, result, err := faked(t, t.Context(), twoRuns, fakeGo(t, "", "one"), fakeGo(t, "", "other"))
	if status(err) != 1 || !strings.Contains(err.Error(), "linux/loong64: cold: the binaries of both sides differ: server: 3 bytes natively, 5 emulated") {
		t.Fatalf("status %d, error %v", status(err), err)
	}
	if result == nil || !strings.Contains(result.Table, "NO") {
		t.Errorf("result %+v", result)
	}
	kept := filepath.Join(p.Output, "bench", "different", "linux", "loong64", "cold", "server.")
	if read(t, kept+"native") != "one" || read(t, kept+"emulated") != "other" {
		t.Error("not the two binaries are kept")
	}
	if r := benchJSON(t, p); r.Platforms[0].Cases[0].Difference == "" {
		t.Error("bench.json doesn't say what differs")
	}
}

// A build that crashes under QEMU is reported as that, and the rest goes on.
func TestBenchCrash(t *testing.T) {
	p, _, err := faked(t, t.Context(), twoRuns, fakeGo(t, "", "x"), fakeGo(t, "kill -SEGV $$", "x"))
	if status(err) != 3 || !strings.Contains(err.Error(), "linux/loong64: emulated cold build: crashed under QEMU 9.9: signal: segmentation fault") {
		t.Fatalf("status %d, error %v", status(err), err)
	}
	cold := benchJSON(t, p).Platforms[0].Cases[0]
	if len(cold.Native.Runs) != 2 || len(cold.Emulated.Runs) != 0 || cold.Emulated.Failure == "" {
		t.Errorf("cold: %+v, %+v", cold.Native, cold.Emulated)
	}
}

// A compiler's error is no crash, and its words are shown.
func TestBenchCompileError(t *testing.T) {
	_, _, err := faked(t, t.Context(), twoRuns, fakeGo(t, "", "x"), fakeGo(t, "echo main.go:3: nonsense; exit 1", "x"))
	if status(err) != 3 || !strings.Contains(err.Error(), "main.go:3: nonsense") || strings.Contains(err.Error(), "crashed") {
		t.Fatalf("status %d, error %v", status(err), err)
	}
}

func TestBenchBudget(t *testing.T) {
	o := buildlib.Overrides{Bench: buildlib.Bench{Budget: 10 * time.Second}}
	p, result, err := faked(t, t.Context(), o, fakeGo(t, "", "x"), fakeGo(t, "sleep 60", "x"))
	if status(err) != 3 || result == nil || !strings.Contains(err.Error(), "cut off by the budget after ") {
		t.Fatalf("status %d, error %v", status(err), err)
	}
	r := benchJSON(t, p)
	if !strings.Contains(r.Partial, "the budget of 10s ended in run 1, at linux/loong64 emulated") || len(r.Platforms[0].Cases[1].Native.Runs) != 1 {
		t.Errorf("partial %q, cases %+v", r.Partial, r.Platforms[0].Cases)
	}
	// Nothing at all in time is nothing to report.
	o.Bench.Budget = 2 * time.Second
	p, result, err = faked(t, t.Context(), o, fakeGo(t, "sleep 60", "x"), fakeGo(t, "", "x"))
	if err == nil || result != nil || !strings.Contains(err.Error(), "Bench.Budget: 2s is too short") {
		t.Errorf("result %v, error %v", result, err)
	}
	if _, err := os.Stat(filepath.Join(p.Output, "bench")); err == nil {
		t.Error("there is a report of nothing")
	}
}

// Who interrupts a benchmark keeps what was measured.
func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	marker := filepath.Join(t.TempDir(), "begun")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(marker); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	defer cancel()
	p, result, err := faked(t, ctx, twoRuns, fakeGo(t, "", "x"), fakeGo(t, "touch '"+marker+"'; sleep 60", "x"))
	if !errors.Is(err, context.Canceled) || result == nil {
		t.Fatalf("result %v, error %v", result, err)
	}
	r := benchJSON(t, p)
	if r.Partial != "interrupted" || len(r.Platforms[0].Cases[0].Native.Runs) != 1 {
		t.Errorf("partial %q, %+v", r.Partial, r.Platforms[0].Cases)
	}
}

func TestBenchBaseline(t *testing.T) {
	slow, fast := fakeGo(t, "sleep 0.5", "x"), fakeGo(t, "", "x")
	p, _, err := faked(t, t.Context(), buildlib.Overrides{Bench: buildlib.Bench{Runs: 1}}, fast, fast)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bench.json", "bench.txt"} {
		o := buildlib.Overrides{Bench: buildlib.Bench{Runs: 1, Baseline: filepath.Join(p.Output, "bench", name)}}
		_, result, err := faked(t, t.Context(), o, slow, fast)
		if err != nil || !strings.Contains(result.Comparison, "linux/loong64") {
			t.Errorf("%s: without a tolerance: error %v, comparison\n%s", name, err, result.Comparison)
		}
		o.Bench.Tolerance = 50
		_, result, err = faked(t, t.Context(), o, slow, fast)
		if status(err) != 4 || result == nil || !strings.Contains(err.Error(), "50% is tolerated") {
			t.Errorf("%s: status %d, error %v", name, status(err), err)
		}
	}
	// One of something else says so, and what was measured is kept.
	other := filepath.Join(t.TempDir(), "bench.json")
	write(t, other, strings.ReplaceAll(read(t, filepath.Join(p.Output, "bench", "bench.json")), "loong64", "s390x"))
	q, result, err := faked(t, t.Context(), buildlib.Overrides{Bench: buildlib.Bench{Runs: 1, Baseline: other}}, fast, fast)
	if status(err) != 1 || result == nil || !strings.Contains(err.Error(), "nothing to compare with") {
		t.Errorf("status %d, error %v", status(err), err)
	}
	benchJSON(t, q)
}
