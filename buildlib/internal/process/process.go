// Package process starts commands that end as a group: together with the processes
// that they have started.
package process

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"
)

// killDelay is how long a killed command may hold its output open before the
// rest is dropped.
const killDelay = time.Second

// Command is exec.CommandContext with a process group of its own, which is
// killed when ctx ends: a signal to go alone leaves its compilers and linkers
// running. On Linux it also ends when this process is killed.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = killDelay
	return cmd
}

// Failure is a command that ended with an error, and what it said.
type Failure struct {
	Err  error
	Text string
}

func (f *Failure) Error() string {
	switch {
	case f.Text == "":
		return f.Err.Error()
	case strings.Contains(f.Text, "\n"):
		return f.Err.Error() + "\n" + f.Text
	}
	return f.Err.Error() + ": " + f.Text
}

func (f *Failure) Unwrap() error { return f.Err }

// Run runs cmd, which was made with ctx and whose messages go to said. The error
// is ctx's cause once that has ended, because what a killed command said is not
// true, and otherwise a *Failure.
func Run(ctx context.Context, cmd *exec.Cmd, said *bytes.Buffer) error {
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &Failure{err, strings.TrimSpace(said.String())}
	}
	return nil
}

// Output is Run for a command whose standard output is the result. It is also
// returned beside a *Failure.
func Output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := Run(ctx, cmd, &stderr)
	return stdout.Bytes(), err
}
