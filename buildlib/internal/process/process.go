// Package process runs commands that end together with the processes that they have
// started.
package process

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"
)

// killDelay is how long the output of a killed command may stay open before the rest is
// dropped.
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

// Failure is the error of a command, with its messages.
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

// Run runs cmd, which was made with ctx and whose messages go to messages. The error is
// a *Failure or, if ctx has ended, its cause: the messages of a killed command are
// misleading.
func Run(ctx context.Context, cmd *exec.Cmd, messages *bytes.Buffer) error {
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &Failure{err, strings.TrimSpace(messages.String())}
	}
	return nil
}

// Output runs cmd as Run does and returns its standard output, also beside a *Failure.
func Output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := Run(ctx, cmd, &stderr)
	return stdout.Bytes(), err
}
