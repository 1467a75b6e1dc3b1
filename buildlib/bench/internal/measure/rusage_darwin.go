package measure

import (
	"os"
	"syscall"
)

// maxRSS is the peak of the largest process, which macOS counts in bytes.
func maxRSS(state *os.ProcessState) int64 {
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		return r.Maxrss
	}
	return 0
}
