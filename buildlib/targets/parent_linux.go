package targets

import (
	"fmt"
	"os"
	"strings"
)

// lookUp finds the process with that id (proc(5), /proc/PID/stat).
func lookUp(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	stat := string(data)
	// PID (NAME) STATE PARENT ...; the name may have spaces and parentheses.
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	p := process{name: stat[open+1 : end]}
	var state string
	_, err = fmt.Sscan(stat[end+1:], &state, &p.parent)
	return p, err == nil
}
