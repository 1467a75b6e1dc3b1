package gotool

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What go build -v prints of packages is counted against what go says that it has
// to compile; what compilers say passes.
func TestCounting(t *testing.T) {
	defer func(d time.Duration, n int) { countAfter, countFrom = d, n }(countAfter, countFrom)
	countAfter, countFrom = 0, 1
	p := newProject(t)
	p.Env = append(p.Env, "GOCACHE="+filepath.Join(t.TempDir(), "cache"))
	var messages bytes.Buffer
	var told [][2]int
	c := &counting{messages: &messages, begun: map[string]bool{}, progress: func(done, all int) { told = append(told, [2]int{done, all}) }}
	c.Write([]byte("internal/goarch\n"))
	if told != nil {
		t.Errorf("told %v before go was asked", told)
	}
	c.ask(t.Context(), Go{Dir: p.dir}, p.Build)
	for _, path := range []string{"runtime", "internal/goarch", "example.com/m/cmd/one", "example.com/m/cmd/two"} {
		if !slices.Contains(c.stale, path) {
			t.Errorf("an empty cache has %s: go said %q is to be compiled", path, c.stale)
		}
	}
	for _, part := range []string{"runt", "ime\n# example.com/m/cmd/one\ncmd/one/main.go:3:1: unde", "fined: x\nexample.com/m/cmd/one\n"} {
		c.Write([]byte(part))
	}
	all := len(c.stale)
	if want := [][2]int{{2, all}, {3, all}}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if want := "# example.com/m/cmd/one\ncmd/one/main.go:3:1: undefined: x\n"; messages.String() != want {
		t.Errorf("passed on %q, want %q", messages.String(), want)
	}
	// What was compiled with the build's flags is not to be compiled again.
	p.build()
	c.ask(t.Context(), Go{Dir: p.dir}, p.Build)
	if slices.Contains(c.stale, "runtime") {
		t.Errorf("after the build, go said %q is to be compiled", c.stale)
	}
}

// A build that is counted fails with what the compiler says, and nothing else.
func TestCountedFailure(t *testing.T) {
	p := newProject(t)
	write(t, filepath.Join(p.dir, "cmd", "one", "main.go"), "package main\n\nfunc main() { undefined() }\n")
	p.Progress = func(int, int) {}
	_, err := Go{Dir: p.dir}.Build(t.Context(), p.Build)
	want := "exit status 1\n# example.com/m/cmd/one\n" + filepath.FromSlash("cmd/one/main.go") + ":3:15: undefined: undefined"
	if err == nil || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
