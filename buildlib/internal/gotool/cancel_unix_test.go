//go:build unix

package gotool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowTool is a -toolexec that says who it is and what it started, and then
// takes its time. It lets go ask a tool for its version.
const slowTool = `#!/bin/sh
for arg; do
	if [ "$arg" = -V=full ]; then exec "$@"; fi
done
sleep 300 &
echo $$ $! >"$PIDS.tmp"
mv "$PIDS.tmp" "$PIDS"
wait
`

// A signal to go alone leaves its compilers running, and they hold its output
// open: what it started goes with it, within the two seconds that a user
// waits.
func TestCancelKillsTheGroup(t *testing.T) {
	p := newProject(t)
	// A program that no cache has, so that the compiler is run.
	write(t, filepath.Join(p.dir, "cmd", "one", "main.go"), mainOf(fmt.Sprint(time.Now().UnixNano())))
	tool, pids := filepath.Join(p.dir, "slow"), filepath.Join(p.dir, "pids")
	write(t, tool, slowTool)
	if err := os.Chmod(tool, 0o755); err != nil {
		t.Fatal(err)
	}
	p.Args = append(p.Args, "-toolexec="+tool)
	p.Env = append(p.Env, "PIDS="+pids)
	p.Mains = p.Mains[:1]

	why := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := Go{Dir: p.dir}.Build(ctx, p.Build)
		ended <- err
	}()
	started := await(t, 20*time.Second, func() bool { _, err := os.Stat(pids); return err == nil })
	if !started {
		select {
		case err := <-ended:
			t.Fatalf("the build ended: %v", err)
		default:
			t.Fatal("no compiler was started")
		}
	}
	canceled := time.Now()
	cancel(why)
	select {
	case err := <-ended:
		// Not what a dying compiler printed: that is not true of the source.
		if err != why {
			t.Errorf("error %v, want the context's cause and nothing else", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still building after 5s")
	}
	if took := time.Since(canceled); took > 2*time.Second {
		t.Errorf("took %v to end", took)
	}
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(data)) {
		if !await(t, 2*time.Second-time.Since(canceled), func() bool { return gone(t, pid) }) {
			t.Errorf("process %s still runs", pid)
		}
	}
}

// await reports whether something becomes true in time.
func await(t *testing.T, patience time.Duration, true_ func() bool) bool {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if true_() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// gone reports whether a process has ended, if only as far as nobody has asked
// for its status: who adopts an orphan may not.
func gone(t *testing.T, pid string) bool {
	t.Helper()
	if stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat")); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
	}
	var n int
	if _, err := fmt.Sscan(pid, &n); err != nil {
		t.Fatalf("pid %q: %v", pid, err)
	}
	return errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}
