package measure

import (
	"os"
	"syscall"
)

// maxRSS is the peak of the largest process, which Linux counts in kilobytes
// (getrusage(2)).
func maxRSS(state *os.ProcessState) int64 {
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		return int64(r.Maxrss) * 1024
	}
	return 0
}
