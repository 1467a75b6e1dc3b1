//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// Guard has the process group of cmd, which is not started yet, end with
// this process, also if that is killed: what the kernel does for a child
// (Pdeathsig) it doesn't do for the compilers that the child has started. The
// group is led by a shell that waits for a pipe from here to close, which
// nothing but the end of this process or release does, and then kills it.
//
// Call release once cmd has ended or failed to start: it ends what is left in
// the group. Where there is no shell, cmd stays as it was.
func Guard(cmd *exec.Cmd) (release func()) {
	guard := exec.Command("sh", "-c", "read -r _; kill -KILL 0", "guard")
	newGroup(guard)
	pipe, err := guard.StdinPipe()
	if err != nil {
		return func() {}
	}
	if err := guard.Start(); err != nil {
		pipe.Close()
		return func() {}
	}
	cmd.SysProcAttr.Pgid = guard.Process.Pid
	cmd.Cancel = func() error { return syscall.Kill(-guard.Process.Pid, syscall.SIGKILL) }
	return func() {
		pipe.Close()
		_ = guard.Wait() // it was killed, as it should be
	}
}
