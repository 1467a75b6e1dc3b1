package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The memory of the processes is looked at often at first, so that a short
// command is, too, and then at these intervals. Reading it takes the kernel a
// walk over their pages: it is not done more often than leaves that below a
// twentieth of one processor.
const (
	shortest = 10 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// sampler looks at the memory of a process group.
type sampler struct {
	quit     chan struct{}
	done     sync.WaitGroup
	pss, rss int64
}

// sample starts looking at the process group that pid is of.
func sample(pid int) *sampler {
	s := &sampler{quit: make(chan struct{})}
	group, err := syscall.Getpgid(pid)
	if err != nil {
		group = pid
	}
	s.done.Go(func() {
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
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	var total int64
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := syscall.Getpgid(pid); err != nil || its != group {
			continue
		}
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
			total += kilobytes(data, "Pss:")
		}
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			s.rss = max(s.rss, kilobytes(data, "VmHWM:"))
		}
	}
	s.pss = max(s.pss, total)
}

// kilobytes returns the value of a line like "VmHWM:   123 kB", in bytes.
func kilobytes(data []byte, name string) int64 {
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0
			}
			v, _ := strconv.ParseInt(fields[0], 10, 64)
			return v * 1024
		}
	}
	return 0
}

// peakRSS is the peak of this process.
func peakRSS() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return kilobytes(data, "VmHWM:")
}
