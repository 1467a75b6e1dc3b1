// Package facts collects what an agent reports of the machine it is on.
package facts

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Facts are one moment of one machine. What a platform doesn't tell is zero.
type Facts struct {
	Time        time.Time `json:"time"`
	Host        string    `json:"host"`
	CPUs        int       `json:"cpus"`
	Load1       float64   `json:"load1"`
	MemoryTotal int64     `json:"memoryTotal"` // bytes
	MemoryFree  int64     `json:"memoryFree"`  // bytes that programs could have
}

// Collect reads the facts now.
func Collect() Facts {
	f := Facts{Time: time.Now(), CPUs: runtime.NumCPU()}
	f.Host, _ = os.Hostname()
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		f.Load1 = load(string(b))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		f.MemoryTotal, f.MemoryFree = memory(string(b))
	}
	return f
}

// load reads the first number of /proc/loadavg.
func load(s string) float64 {
	first, _, _ := strings.Cut(s, " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return v
}

// memory reads /proc/meminfo, whose numbers are in KiB.
func memory(s string) (total, free int64) {
	for lines := bufio.NewScanner(strings.NewReader(s)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			free = n << 10
		}
	}
	return total, free
}
