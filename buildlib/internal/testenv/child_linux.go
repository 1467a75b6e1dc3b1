package testenv

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel end the child when this process is killed, and
// keeps a terminal's Ctrl-C away from it: cleanup ends it in order.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
