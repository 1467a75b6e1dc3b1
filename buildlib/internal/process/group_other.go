//go:build unix && !linux

package gotool

import "os/exec"

// ownGroup gives cmd a process group of its own.
func ownGroup(cmd *exec.Cmd) { newGroup(cmd) }
