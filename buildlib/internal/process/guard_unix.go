//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// Guard makes the process group of cmd, which is not started yet, end with this process
// even if that is killed. The kernel does that for a child (Pdeathsig), but not for
// the compilers that the child has started. The group is led by a shell that waits
// until a pipe from here is closed, by release or the end of this process, and then
// kills the group.
//
// Call release once cmd has ended or failed to start. It kills what is left of the
// group. Without a shell, cmd stays as it was.
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
