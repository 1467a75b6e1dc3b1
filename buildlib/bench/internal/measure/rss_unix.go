//go:build linux || darwin

package measure

import (
	"os"
	"runtime"
	"syscall"
)

// maxRSS is the peak of the largest process, which Linux counts in kilobytes
// (getrusage(2)) and macOS in bytes.
func maxRSS(state *os.ProcessState) int64 {
	r, ok := state.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "linux":
		return int64(r.Maxrss) * 1024
	}
	return int64(r.Maxrss)
}
