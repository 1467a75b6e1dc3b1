package measure

import (
	"fmt"
	"time"
)

// Noise is what may have slowed a command down from outside.
type Noise struct {
	// Known is set if the system tells; where it doesn't, all is zero.
	Known bool
	// Steal is the share of the machine's processor time that the hypervisor
	// gave to others, 0 to 1.
	Steal float64
	// Others is the share of it that other processes used, 0 to 1.
	Others float64
	// Throttled is for how long the control group's processor limit held
	// processes back.
	Throttled time.Duration
	// Pressure is the share of the time, 0 to 1, in which some task waited
	// for a processor, or all tasks for memory or disk (the kernel's pressure
	// stall information). A build that keeps all processors busy makes the
	// first itself.
	PressureCPU, PressureMemory, PressureIO float64
}

// Limits from which on a run counts as noisy. Below them, shared machines would
// flag every run.
const (
	noisySteal  = 0.02
	noisyOthers = 0.05
	noisyMemory = 0.01
	noisyIO     = 0.10
)

// Reasons says why a run counts as noisy; none if it doesn't.
func (n Noise) Reasons() []string {
	var list []string
	if n.Steal > noisySteal {
		list = append(list, fmt.Sprintf("the hypervisor took %.0f%% of the processors", 100*n.Steal))
	}
	if n.Others > noisyOthers {
		list = append(list, fmt.Sprintf("other processes took %.0f%% of the processors", 100*n.Others))
	}
	if n.Throttled > 0 {
		list = append(list, fmt.Sprintf("throttled for %.1f s", n.Throttled.Seconds()))
	}
	if n.PressureMemory > noisyMemory {
		list = append(list, fmt.Sprintf("waited for memory for %.0f%% of the time", 100*n.PressureMemory))
	}
	if n.PressureIO > noisyIO {
		list = append(list, fmt.Sprintf("waited for the disk for %.0f%% of the time", 100*n.PressureIO))
	}
	return list
}

// mean is the noise over two spans of time.
func (n Noise) mean(o Noise, d, e time.Duration) Noise {
	at := func(a, b float64) float64 {
		if d+e == 0 {
			return 0
		}
		return (a*d.Seconds() + b*e.Seconds()) / (d + e).Seconds()
	}
	return Noise{
		Known: n.Known && o.Known,
		Steal: at(n.Steal, o.Steal), Others: at(n.Others, o.Others), Throttled: n.Throttled + o.Throttled,
		PressureCPU: at(n.PressureCPU, o.PressureCPU), PressureMemory: at(n.PressureMemory, o.PressureMemory), PressureIO: at(n.PressureIO, o.PressureIO),
	}
}

// machine is what the system counts, at one time.
type machine struct {
	known     bool          // whether the system tells busy, steal and all
	busy      time.Duration // of all processors
	steal     time.Duration
	all       time.Duration // busy, idle and stolen
	own       time.Duration // this process's own processor time
	throttled time.Duration
	pressure  [3]time.Duration // cpu, memory, io
}

// between is the noise between two readings, of which span passed and mine is
// the processor time of what was measured.
func between(a, b machine, span, mine time.Duration) Noise {
	n := Noise{Known: a.known && b.known, Throttled: max(0, b.throttled-a.throttled)}
	share := func(part, whole time.Duration) float64 {
		if whole <= 0 {
			return 0
		}
		return min(1, max(0, part.Seconds()/whole.Seconds()))
	}
	if all := b.all - a.all; n.Known {
		n.Steal = share(b.steal-a.steal, all)
		n.Others = share(b.busy-a.busy-mine, all)
	}
	for i, p := range []*float64{&n.PressureCPU, &n.PressureMemory, &n.PressureIO} {
		*p = share(b.pressure[i]-a.pressure[i], span)
	}
	return n
}
