//go:build unix

package runtime

import (
	"os/exec"
	"syscall"
)

// own gives the command a process group, which is killed as a whole: docker's
// plugins and podman's helpers outlive their parent otherwise.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
