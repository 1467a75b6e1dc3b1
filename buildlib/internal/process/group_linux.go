package process

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd a process group of its own. Linux also ends it when this
// process is killed without a chance to do so.
func ownGroup(cmd *exec.Cmd) { newGroup(cmd).Pdeathsig = syscall.SIGKILL }
