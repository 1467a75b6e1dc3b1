//go:build !unix

package process

import "os/exec"

// Guard does nothing: it needs the process groups of Unix.
func Guard(*exec.Cmd) (release func()) { return func() {} }
