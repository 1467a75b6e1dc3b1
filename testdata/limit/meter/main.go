// Meter runs a command and appends a line to a file: seconds of wall and of
// processor time, and MB of anonymous memory at most, of the command's own process
// and of all that it started together. On Linux.
//
//	meter [-also PID] FILE COMMAND...
//
// What a daemon, PID, and its children took meanwhile is added to all but the
// command's own memory.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc (proc(5); 100 Hz on Linux).
const tick = 10 * time.Millisecond

type process struct {
	parent int
	took   time.Duration // with that of children it has waited for
}

// processes are all there are.
func processes() map[int]process {
	all := map[int]process{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		data, _ := os.ReadFile(path)
		_, rest, ok := strings.Cut(string(data), ") ")
		f := strings.Fields(rest) // from the third field on
		if !ok || len(f) < 15 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(f[1])
		var ticks time.Duration
		for _, s := range f[11:15] {
			n, _ := strconv.Atoi(s)
			ticks += time.Duration(n)
		}
		all[pid] = process{parent, ticks * tick}
	}
	return all
}

// of are those of roots and below.
func of(all map[int]process, roots ...int) (pids []int) {
	for pid := range all {
		for p := pid; p > 1; p = all[p].parent {
			if p == roots[0] || p == roots[len(roots)-1] {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// memory is a process's anonymous memory, in bytes.
func memory(pid int) (n int64) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, rest, ok := strings.Cut(string(data), "RssAnon:"); ok {
		n, _ = strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	}
	return n << 10
}

func main() {
	also := flag.Int("also", 0, "a daemon's process")
	flag.Parse()
	if flag.NArg() < 2 {
		log.Fatal("usage: meter [-also PID] FILE COMMAND...")
	}
	daemon := func() (took time.Duration) {
		if *also == 0 {
			return 0
		}
		all := processes()
		for _, pid := range of(all, *also) {
			took += all[pid].took
		}
		return took
	}
	cmd := exec.Command(flag.Arg(1), flag.Args()[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	before, start := daemon(), time.Now()
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	var own, all int64
	var err error
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-time.After(100 * time.Millisecond):
			own = max(own, memory(cmd.Process.Pid))
			roots := []int{cmd.Process.Pid}
			if *also != 0 {
				roots = append(roots, *also)
			}
			var sum int64
			for _, pid := range of(processes(), roots...) {
				sum += memory(pid)
			}
			all = max(all, sum)
		}
	}
	wall := time.Since(start)
	if err != nil {
		log.Fatalf("%s: %v", flag.Arg(1), err)
	}
	took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() + daemon() - before
	f, err := os.OpenFile(flag.Arg(0), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err == nil {
		_, err = fmt.Fprintf(f, "%.3f %.3f %.1f %.1f\n", wall.Seconds(), took.Seconds(), float64(own)/1e6, float64(all)/1e6)
	}
	if err != nil {
		log.Fatal(err)
	}
}
