package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// read reads a file of the kernel; it is empty if there is none.
func read(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

// field is the number after the name in the first line that begins with it, as in
// "VmHWM:   123 kB" or "throttled_usec 5"; 0 if there is none.
func field(text, name string) float64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return 0
}

func (h *Host) read() {
	info := read("/proc/cpuinfo")
	h.CPU = cpuName(info)
	if strings.Contains(info, " hypervisor ") {
		h.Virtual = "virtual machine"
	}
	h.Memory = 1024 * int64(field(read("/proc/meminfo"), "MemTotal:"))
	if release := strings.TrimSpace(read("/proc/sys/kernel/osrelease")); release != "" {
		h.Kernel = "Linux " + release
	}
}

// cpuName is the processor's name in /proc/cpuinfo, whose fields differ between
// architectures; empty if it isn't there.
func cpuName(info string) string {
	for _, field := range []string{"model name", "Model", "cpu model", "uarch", "cpu"} {
		for line := range strings.Lines(info) {
			name, value, ok := strings.Cut(line, ":")
			if ok && strings.TrimSpace(name) == field {
				return strings.Join(strings.Fields(value), " ")
			}
		}
	}
	return ""
}

func readMachine() machine {
	m := machine{throttled: throttled()}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		m.own = float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
	}
	m.readStat(read("/proc/stat"))
	// For processors, the system has no full pressure.
	for i, file := range []string{"cpu some", "memory full", "io full"} {
		name, kind, _ := strings.Cut(file, " ")
		m.pressure[i] = stalled(read("/proc/pressure/"+name), kind)
	}
	return m
}

// readStat reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal, and guest times that user and nice include, in
// hundredths of a second on every architecture that Go runs on (proc_stat(5)).
func (m *machine) readStat(text string) {
	var n [8]float64
	_, err := fmt.Sscanf(text, "cpu %g %g %g %g %g %g %g %g", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7])
	if err != nil {
		return
	}
	m.known = true
	m.busy, m.steal = (n[0]+n[1]+n[2]+n[5]+n[6])/100, n[7]/100
	m.all = m.busy + m.steal + (n[3]+n[4])/100
}

// stalled is the total of the line of that kind in a file of /proc/pressure, converted
// from microseconds (Linux, Documentation/accounting/psi.rst).
func stalled(text, kind string) float64 {
	for line := range strings.Lines(text) {
		if about, total, ok := strings.Cut(strings.TrimSpace(line), " total="); ok && strings.HasPrefix(about, kind+" ") {
			v, _ := strconv.ParseFloat(total, 64)
			return v / 1e6
		}
	}
	return 0
}

// throttled is how long processor limits of this process's control group, and of those
// above it, have held it back: cpu.stat of cgroup v2, or of v1's cpu controller.
func throttled() (total float64) {
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		root := "/sys/fs/cgroup"
		switch {
		case len(part) != 3:
			continue
		case part[0] == "0" && part[1] == "":
		case strings.Contains(","+part[1]+",", ",cpu,"):
			root += "/cpu"
		default:
			continue
		}
		for dir := part[2]; ; dir = filepath.Dir(dir) {
			total += throttledIn(read(filepath.Join(root, dir, "cpu.stat")))
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return total
}

// throttledIn reads a cpu.stat: microseconds in v2, nanoseconds in v1.
func throttledIn(stat string) float64 {
	return field(stat, "throttled_usec")/1e6 + field(stat, "throttled_time")/1e9
}

// peakRSS is the peak of this process.
func peakRSS() int64 { return 1024 * int64(field(read("/proc/self/status"), "VmHWM:")) }

// sampler samples the memory of a process group: often at first, for short commands,
// and later every quarter of a second. For each sample the kernel walks the pages, so
// sampling is limited to a twentieth of one processor.
type sampler struct {
	quit     chan struct{}
	done     sync.WaitGroup
	pss, rss int64
}

// sample begins to sample the process group of pid.
func sample(pid int) *sampler {
	s := &sampler{quit: make(chan struct{})}
	group, err := syscall.Getpgid(pid)
	if err != nil {
		group = pid
	}
	s.done.Go(func() {
		const shortest, longest = 10 * time.Millisecond, 250 * time.Millisecond
		began, pause := time.Now(), shortest
		for {
			select {
			case <-s.quit:
				return
			case <-time.After(pause):
			}
			start := time.Now()
			s.look(group)
			pause = max(shortest, min(longest, start.Sub(began)/10), 20*time.Since(start))
		}
	})
	return s
}

// stop returns the peaks: of all processes together, and of the largest.
func (s *sampler) stop() (pss, rss int64) {
	close(s.quit)
	s.done.Wait()
	return s.pss, s.rss
}

func (s *sampler) look(group int) {
	entries, _ := os.ReadDir("/proc")
	var total int64
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := syscall.Getpgid(pid); err == nil && its == group {
			total += 1024 * int64(field(read(fmt.Sprintf("/proc/%d/smaps_rollup", pid)), "Pss:"))
			s.rss = max(s.rss, 1024*int64(field(read(fmt.Sprintf("/proc/%d/status", pid)), "VmHWM:")))
		}
	}
	s.pss = max(s.pss, total)
}
