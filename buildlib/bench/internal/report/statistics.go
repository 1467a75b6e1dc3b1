package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// Estimate is one metric's statistics over the runs of a leg.
type Estimate struct {
	N      int     `json:"n"` // runs
	Median float64 `json:"median"`
	// Interval is nil if there are too few runs: it needs 6.
	Interval *Interval `json:"interval,omitempty"`
}

// Interval contains the true median with at least that confidence (0 to 1). Zero
// confidence: unknown.
type Interval struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence,omitempty"`
}

// Ratio compares the emulated with the native side of a case.
type Ratio struct {
	Ratio float64 `json:"ratio"` // of the medians, emulated / native
	// Bounds are the quotients of the intervals' bounds that are farthest apart, so
	// they are conservative. Nil if a side has no interval.
	Bounds *Interval `json:"bounds,omitempty"`
	// P is the probability of such a difference, or a greater one, if there were
	// none (Mann-Whitney U test).
	P float64 `json:"p"`
	// Significant says whether P is at most 0.05. Nil: there are too few runs for any
	// difference to be significant; 4 on each side are enough.
	Significant *bool `json:"significant,omitempty"`
}

// Summary is the statistics of one case of one platform.
type Summary struct {
	Platform string `json:"platform"`
	Case     string `json:"case"`
	// A metric that is unknown, or whose side has no runs, has no entry.
	Native   map[Metric]Estimate `json:"native,omitempty"`
	Emulated map[Metric]Estimate `json:"emulated,omitempty"`
	Ratio    map[Metric]Ratio    `json:"ratio,omitempty"`
	// How many runs of each side are flagged.
	NoisyNative   int `json:"noisyNative,omitempty"`
	NoisyEmulated int `json:"noisyEmulated,omitempty"`

	platform Platform
	legs     Case
}

// Summaries are the statistics of all cases, in the report's order. They include noisy
// runs: to leave those out would bias the result.
func (r Report) Summaries() []Summary {
	var all []Summary
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			s := Summary{Platform: p.Platform, Case: c.Name, Ratio: map[Metric]Ratio{}, platform: p, legs: c,
				Native: c.Native.estimates(), NoisyNative: c.Native.noisy(), Emulated: c.Emulated.estimates(), NoisyEmulated: c.Emulated.noisy()}
			for _, m := range metrics {
				if native, emulated := c.Native.values(m), c.Emulated.values(m); len(native) > 0 && len(emulated) > 0 {
					s.Ratio[m] = ratio(native, emulated)
				}
			}
			all = append(all, s)
		}
	}
	return all
}

// side is the estimates and the leg of one side; nil if it wasn't begun.
func (s Summary) side(name string) (map[Metric]Estimate, *Leg) {
	if name == Native {
		return s.Native, s.legs.Native
	}
	return s.Emulated, s.legs.Emulated
}

// SameWord says whether both sides' binaries are the same; empty: unknown.
func (s Summary) SameWord() string {
	switch {
	case s.legs.Same == nil:
		return ""
	case *s.legs.Same:
		return "yes"
	}
	return "NO"
}

// values are the metric's known values in the runs.
func (l *Leg) values(m Metric) []float64 {
	var values []float64
	if l != nil {
		for _, r := range l.Runs {
			if v := m.value(r); v > 0 {
				values = append(values, v)
			}
		}
	}
	return values
}

func (l *Leg) estimates() map[Metric]Estimate {
	all := map[Metric]Estimate{}
	for _, m := range metrics {
		if values := l.values(m); len(values) > 0 {
			all[m] = estimate(values)
		}
	}
	return all
}

// noisy counts the runs that are flagged.
func (l *Leg) noisy() int {
	n := 0
	if l != nil {
		for _, r := range l.Runs {
			n += min(1, len(r.Noisy))
		}
	}
	return n
}

func ratio(native, emulated []float64) Ratio {
	n, e := estimate(native), estimate(emulated)
	r := Ratio{Ratio: e.Median / n.Median}
	if n.Interval != nil && e.Interval != nil {
		r.Bounds = &Interval{Low: e.Interval.Low / n.Interval.High, High: e.Interval.High / n.Interval.Low}
	}
	r.P, r.Significant = differ(native, emulated)
	return r
}

// confidence is the level of the medians' intervals, and alpha that of the tests
// of significance: benchstat's.
const (
	confidence = 0.95
	alpha      = 0.05
)

// No distribution of the times is assumed: there is substantial evidence that it isn't
// normal. So the summary is the median with the order statistics around it, and the
// test is the Mann-Whitney U test, as in benchstat; testdata/benchfmt compares the two.

// estimate summarizes at least one value.
func estimate(values []float64) Estimate {
	s := stats.Sample{Xs: slices.Sorted(slices.Values(values)), Sorted: true}
	ci := stats.QuantileCI(len(values), 0.5, confidence)
	median, low, high := ci.SampleCI(s)
	e := Estimate{N: len(values), Median: median}
	// With too few runs the bounds are infinite, which JSON can't express and a chart
	// can't show.
	if !math.IsInf(low, 0) && !math.IsInf(high, 0) {
		e.Interval = &Interval{low, high, ci.Confidence}
	}
	return e
}

// estimate prints a median with its unit and, as benchstat does, the larger half of its
// interval: "20.0 s ± 5%". It is empty without runs.
func (m Metric) estimate(e Estimate) string {
	switch {
	case e.N == 0:
		return ""
	case e.Interval == nil:
		return m.format(e.Median)
	}
	return fmt.Sprintf("%s ± %.0f%%", m.format(e.Median), 100*max(e.Interval.High/e.Median-1, 1-e.Interval.Low/e.Median))
}

// differ tests whether two samples differ. significant is nil if they are too small for
// any difference to be significant.
func differ(a, b []float64) (p float64, significant *bool) {
	p = probability(a, b)
	differs := p <= alpha
	if !differs && !testable(len(a), len(b)) {
		return p, nil
	}
	return p, &differs
}

// testable reports whether samples of these sizes can differ significantly: it compares
// two that don't overlap.
func testable(na, nb int) bool {
	a, b := make([]float64, na), make([]float64, nb)
	for i := range a {
		a[i] = float64(i)
	}
	for i := range b {
		b[i] = float64(na + i)
	}
	return probability(a, b) <= alpha
}

// probability is the probability of such a difference, or a greater one, between samples
// of one distribution. If all values are equal, the test fails, and it is 1.
func probability(a, b []float64) float64 {
	test, err := stats.MannWhitneyUTest(a, b, stats.LocationDiffers)
	if err != nil {
		return 1
	}
	return test.P
}
