// Package measure runs a command and measures what it took: time, processor time
// and memory, and what else the machine was doing meanwhile.
//
// Its files: measure.go runs the command; noise.go compares the machine's counters
// before and after; system_linux.go reads those counters, the processes' memory and
// the host; system_other.go is for systems that offer none of this.
package measure

import (
	"os/exec"
	"runtime"
	"time"
)

// Host is the machine that measures. Empty fields are unknown.
type Host struct {
	Platform string `json:"platform"` // OS/ARCH
	CPU      string `json:"cpu,omitempty"`
	Kernel   string `json:"kernel,omitempty"`
	Cores    int    `json:"cores"`            // that this process may use
	Memory   int64  `json:"memory,omitempty"` // bytes
	// Virtual is set if it is known to be a virtual machine.
	Virtual string `json:"virtual,omitempty"`
}

// ReadHost describes this machine.
func ReadHost() Host {
	h := Host{Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}
	h.read()
	return h
}

// Usage is what a command and its child processes used, as in bench.json.
type Usage struct {
	Start time.Time `json:"start"`
	Wall  float64   `json:"wall"` // seconds
	// User and System are the processor time of all processes together, in
	// seconds. Both zero: unknown.
	User   float64 `json:"user,omitempty"`
	System float64 `json:"system,omitempty"`
	// MaxRSS is the peak resident size of the largest process, in bytes. Zero:
	// unknown.
	MaxRSS int64 `json:"maxRSS,omitempty"`
	// PSS is the peak of the processes' memory together, in bytes, with shared pages
	// counted once. It is sampled at least every quarter of a second, so a short
	// peak may be missed. Zero: unknown, as on all systems but Linux.
	PSS int64 `json:"pss,omitempty"`
	// Noise is what else the system did during the run. Nil: unknown.
	Noise *Noise `json:"noise,omitempty"`
	// Noisy are the reasons why the run is flagged, each a few words.
	Noisy []string `json:"noisy,omitempty"`
}

// Add adds a command that ran after those in u.
func (u *Usage) Add(next Usage) {
	if u.Start.IsZero() {
		*u = next
		return
	}
	u.Noise = mean(u.Noise, next.Noise, u.Wall, next.Wall)
	u.Noisy = u.Noise.reasons()
	u.Wall, u.User, u.System = u.Wall+next.Wall, u.User+next.User, u.System+next.System
	u.MaxRSS, u.PSS = max(u.MaxRSS, next.MaxRSS), max(u.PSS, next.PSS)
}

// Run starts a command, and measures it until it ends. The usage is valid also if the
// command fails.
func Run(cmd *exec.Cmd) (Usage, error) {
	floor := peakRSS() // a child starts with its parent's
	u := Usage{Start: time.Now()}
	before := readMachine()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	sampler := sample(cmd.Process.Pid)
	err := cmd.Wait()
	u.Wall = time.Since(u.Start).Seconds()
	after := readMachine()
	var rss int64
	u.PSS, rss = sampler.stop()
	if state := cmd.ProcessState; state != nil {
		if runtime.GOOS != "windows" { // which doesn't count children's
			u.User, u.System = state.UserTime().Seconds(), state.SystemTime().Seconds()
		}
		// The kernel's value is exact, unless the peak of this process is higher and
		// hides it; then the sampled one is closer.
		u.MaxRSS = maxRSS(state)
		if u.MaxRSS <= floor+floor/20 { // it may grow while the child is made
			u.MaxRSS = rss
		}
	}
	u.Noise = between(before, after, u.Wall, u.User+u.System+after.own-before.own)
	u.Noisy = u.Noise.reasons()
	return u, err
}
