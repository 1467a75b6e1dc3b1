package report

import "github.com/multimage/multimage/buildlib/bench/internal/measure"

// Metric is a quantity of a run. Less is always better.
type Metric string

// The metrics, as bench.json names them.
const (
	Wall   Metric = "wall"   // seconds from start to end
	CPU    Metric = "cpu"    // seconds of processor time, user and system
	PSS    Metric = "pss"    // peak memory of all processes, in bytes
	MaxRSS Metric = "maxRSS" // peak memory of the largest process, in bytes
)

// metrics are all of them, in the order in which they are shown.
var metrics = []Metric{Wall, CPU, PSS, MaxRSS}

// value is the metric's value in a run. Zero: unknown.
func (m Metric) value(r measure.Usage) float64 {
	switch m {
	case Wall:
		return r.Wall
	case CPU:
		return r.User + r.System
	case PSS:
		return float64(r.PSS)
	case MaxRSS:
		return float64(r.MaxRSS)
	}
	return 0
}

// String is the metric's name for people.
func (m Metric) String() string {
	switch m {
	case Wall:
		return "time"
	case CPU:
		return "processor time"
	case PSS:
		return "peak memory"
	case MaxRSS:
		return "largest process"
	}
	return string(m)
}

// format prints a value with its unit.
func (m Metric) format(v float64) string {
	if m == PSS || m == MaxRSS {
		return size(v)
	}
	return seconds(v)
}
