package emulate

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// killDelay is how long a killed command may hold its output open before the
// rest is dropped.
const killDelay = time.Second

// command is a program to run, with nothing of this process's environment but
// what env has. A nil env stands for the whole.
type command struct {
	argv []string
	dir  string
	env  []string
}

// output runs the command and returns what it printed. It runs in a process
// group of its own, which is killed when ctx ends: go leaves its compilers
// running otherwise. The error of one that failed is a *failure.
func (c command) output(ctx context.Context) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := c.prepare(ctx)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return stdout.Bytes(), &failure{err, strings.TrimSpace(stderr.String())}
	}
	return stdout.Bytes(), nil
}

func (c command) prepare(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	ownGroup(cmd)
	cmd.WaitDelay = killDelay
	return cmd
}

// failure is a command that ended with an error, and what it said.
type failure struct {
	err  error
	text string
}

func (f *failure) Error() string {
	switch {
	case f.text == "":
		return f.err.Error()
	case strings.Contains(f.text, "\n"):
		return f.err.Error() + "\n" + f.text
	}
	return f.err.Error() + ": " + f.text
}

func (f *failure) Unwrap() error { return f.err }

// asFailure returns what a command said, if err is of one that ran.
func asFailure(err error) (text string, ok bool) {
	var failed *failure
	if !errors.As(err, &failed) {
		return "", false
	}
	return failed.text, true
}
