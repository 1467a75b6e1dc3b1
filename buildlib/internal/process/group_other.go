//go:build unix && !linux

package process

import "os/exec"

// ownGroup gives cmd a process group of its own.
func ownGroup(cmd *exec.Cmd) { newGroup(cmd) }
