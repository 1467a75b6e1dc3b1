// Package process starts commands that end as a whole: with the processes that
// they have started themselves.
package process

import (
	"context"
	"os/exec"
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
