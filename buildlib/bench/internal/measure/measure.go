// Package measure runs a command and tells what it took: time, processor time,
// memory, and what else the machine was busy with meanwhile.
package measure

import (
	"os/exec"
	"runtime"
	"time"
)

// Usage is what a command and the processes that it started took.
type Usage struct {
	Start time.Time
	Wall  time.Duration
	// User and System are processor time, of all processes together; both 0:
	// unknown.
	User, System time.Duration
	// MaxRSS is the peak of the largest process, in bytes; 0: unknown.
	MaxRSS int64
	// PSS is the peak of the processes' memory together, in bytes, pages that
	// they share counted once; 0: unknown. It is sampled, every quarter of a
	// second or more often, so a short peak may be missed.
	PSS   int64
	Noise Noise
}

// Add adds a command that ran after those that u is of.
func (u *Usage) Add(next Usage) {
	if u.Start.IsZero() {
		*u = next
		return
	}
	total := u.Wall + next.Wall
	u.Noise = u.Noise.mean(next.Noise, u.Wall, next.Wall)
	u.Wall, u.User, u.System = total, u.User+next.User, u.System+next.System
	u.MaxRSS, u.PSS = max(u.MaxRSS, next.MaxRSS), max(u.PSS, next.PSS)
}

// Run runs a command that was not started yet, and measures it until it ends.
// The usage is also valid if the command fails.
func Run(cmd *exec.Cmd) (Usage, error) {
	floor := peakRSS() // a child starts with its parent's
	u := Usage{Start: time.Now()}
	before := readMachine()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	sampler := sample(cmd.Process.Pid)
	err := cmd.Wait()
	u.Wall = time.Since(u.Start)
	after := readMachine()
	pss, rss := sampler.stop()
	u.PSS = pss
	if state := cmd.ProcessState; state != nil {
		if runtime.GOOS != "windows" { // which doesn't count children's
			u.User, u.System = state.UserTime(), state.SystemTime()
		}
		// What the kernel kept is exact, but also the peak of this process if
		// that is higher; then what was sampled is nearer to the truth.
		u.MaxRSS = maxRSS(state)
		if u.MaxRSS <= floor+floor/20 { // it may grow while the child is made
			u.MaxRSS = rss
		}
	}
	u.Noise = between(before, after, u.Wall, u.User+u.System+after.own-before.own)
	return u, err
}
