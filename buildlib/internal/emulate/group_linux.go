package emulate

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd a process group of its own, which is killed as a whole
// when the command's context ends. The kernel also ends cmd when this process
// is killed without a chance to do so.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
