package measure

import "fmt"

// Noise is what may have slowed a command down from outside. Zero: nothing, or unknown.
type Noise struct {
	// Steal and Others are shares (0 to 1) of the processors' time that the
	// hypervisor and other processes of this system took.
	Steal  float64 `json:"steal,omitempty"`
	Others float64 `json:"others,omitempty"`
	// Throttled is how long the control group was held back, in seconds.
	Throttled float64 `json:"throttled,omitempty"`
	// Pressures are shares (0 to 1) of the run in which some task waited
	// for a processor, or all tasks for memory or disk (Linux PSI). A build that
	// keeps all processors busy makes the first itself.
	PressureCPU    float64 `json:"pressureCPU,omitempty"`
	PressureMemory float64 `json:"pressureMemory,omitempty"`
	PressureIO     float64 `json:"pressureIO,omitempty"`
}

// reasons are the reasons why a run counts as noisy; none if it doesn't. Lower limits
// would flag every run on shared machines.
func (n *Noise) reasons() []string {
	if n == nil {
		return nil
	}
	var list []string
	for _, r := range []struct {
		value, limit, unit float64
		text               string
	}{
		{n.Steal, 0.02, 100, "the hypervisor took %.0f%% of the processors"},
		{n.Others, 0.05, 100, "other processes took %.0f%% of the processors"},
		{n.Throttled, 0, 1, "throttled for %.1f s"},
		{n.PressureMemory, 0.01, 100, "waited for memory for %.0f%% of the time"},
		{n.PressureIO, 0.10, 100, "waited for the disk for %.0f%% of the time"},
	} {
		if r.value > r.limit {
			list = append(list, fmt.Sprintf(r.text, r.value*r.unit))
		}
	}
	return list
}

// mean is the noise over two spans, of d and e seconds.
func mean(n, o *Noise, d, e float64) *Noise {
	if n == nil || o == nil || d+e == 0 {
		return nil
	}
	at := func(a, b float64) float64 { return (a*d + b*e) / (d + e) }
	return &Noise{
		Steal: at(n.Steal, o.Steal), Others: at(n.Others, o.Others), Throttled: n.Throttled + o.Throttled,
		PressureCPU: at(n.PressureCPU, o.PressureCPU), PressureMemory: at(n.PressureMemory, o.PressureMemory), PressureIO: at(n.PressureIO, o.PressureIO),
	}
}

// machine is a reading of the system's counters, in seconds.
type machine struct {
	known            bool    // whether busy, steal and all are
	busy, steal, all float64 // of all processors; all: idle ones, too
	own              float64 // this process's own processor time
	throttled        float64
	pressure         [3]float64 // cpu, memory, io
}

// between is the noise between two readings, span seconds apart. mine is the processor
// time of the measured command. Nil: unknown.
func between(a, b machine, span, mine float64) *Noise {
	if !a.known || !b.known {
		return nil
	}
	share := func(part, whole float64) float64 {
		if whole <= 0 {
			return 0
		}
		return min(1, max(0, part/whole))
	}
	pressure := func(i int) float64 { return share(b.pressure[i]-a.pressure[i], span) }
	return &Noise{
		Steal: share(b.steal-a.steal, b.all-a.all), Others: share(b.busy-a.busy-mine, b.all-a.all), Throttled: max(0, b.throttled-a.throttled),
		PressureCPU: pressure(0), PressureMemory: pressure(1), PressureIO: pressure(2),
	}
}
