package measure

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of /proc/stat: USER_HZ, which is 100 on every architecture
// that Go runs on (proc_stat(5)).
const tick = 10 * time.Millisecond

func readMachine() machine {
	m := machine{own: ownTime(), throttled: throttled()}
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		m.readStat(data)
	}
	for i, name := range []string{"cpu", "memory", "io"} {
		data, err := os.ReadFile("/proc/pressure/" + name)
		if err != nil {
			continue
		}
		kind := "full"
		if name == "cpu" {
			kind = "some" // there is no full one for the whole system
		}
		m.pressure[i] = stalled(data, kind)
	}
	return m
}

// readStat reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal, and guest times that user and nice include
// (proc_stat(5)).
func (m *machine) readStat(data []byte) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return
	}
	var n [8]time.Duration
	for i := range n {
		v, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			return
		}
		n[i] = time.Duration(v) * tick
	}
	m.busy, m.steal = n[0]+n[1]+n[2]+n[5]+n[6], n[7]
	m.all = m.busy + m.steal + n[3] + n[4]
	m.known = true
}

// stalled reads a file of /proc/pressure: the total of the line of that kind,
// which is in microseconds (Linux, Documentation/accounting/psi.rst).
func stalled(data []byte, kind string) time.Duration {
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != kind {
			continue
		}
		for _, f := range fields[1:] {
			if total, ok := strings.CutPrefix(f, "total="); ok {
				v, _ := strconv.ParseInt(total, 10, 64)
				return time.Duration(v) * time.Microsecond
			}
		}
	}
	return 0
}

func ownTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// throttled is for how long the processor limits of this process's control
// group, and of those above it, have held it back: cpu.stat of cgroup v2, or
// of the cpu controller of v1.
func throttled() time.Duration {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	var total time.Duration
	for line := range strings.Lines(string(data)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		root := ""
		switch {
		case part[0] == "0" && part[1] == "":
			root = "/sys/fs/cgroup"
		case strings.Contains(","+part[1]+",", ",cpu,"):
			root = "/sys/fs/cgroup/cpu"
		default:
			continue
		}
		for dir := part[2]; ; dir = filepath.Dir(dir) {
			if stat, err := os.ReadFile(filepath.Join(root, dir, "cpu.stat")); err == nil {
				total += throttledIn(stat)
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return total
}

func throttledIn(stat []byte) time.Duration {
	for s := bufio.NewScanner(bytes.NewReader(stat)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		v, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "throttled_usec": // v2
			return time.Duration(v) * time.Microsecond
		case "throttled_time": // v1
			return time.Duration(v)
		}
	}
	return 0
}
