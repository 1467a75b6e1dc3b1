package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// confidence is the level of the medians' intervals, and alpha that of the tests
// of significance: benchstat's.
const (
	confidence = 0.95
	alpha      = 0.05
)

// Nothing is assumed of how times are distributed: there is substantial
// evidence that it isn't normally. So the summary is the median with the order
// statistics around it, and the test is Mann's and Whitney's, as benchstat does
// it; testdata/benchfmt compares the two.

// estimate summarizes at least one value.
func estimate(values []float64) Estimate {
	s := stats.Sample{Xs: slices.Sorted(slices.Values(values)), Sorted: true}
	ci := stats.QuantileCI(len(values), 0.5, confidence)
	median, low, high := ci.SampleCI(s)
	e := Estimate{N: len(values), Median: median}
	// With too few runs the bounds are infinite, which JSON can't say and
	// nobody can draw.
	if !math.IsInf(low, 0) && !math.IsInf(high, 0) {
		e.Interval = &Interval{low, high, ci.Confidence}
	}
	return e
}

// spread prints the larger half of the interval as benchstat does: "± 2%".
// Empty without one.
func (e Estimate) spread() string {
	if e.Interval == nil {
		return ""
	}
	return fmt.Sprintf("± %.0f%%", 100*max(e.Interval.High/e.Median-1, 1-e.Interval.Low/e.Median))
}

// differ tests whether two samples differ. significant is nil if they are too
// small for any difference between them to be.
func differ(a, b []float64) (p float64, significant *bool) {
	p = probability(a, b)
	differs := p <= alpha
	if !differs && !testable(len(a), len(b)) {
		return p, nil
	}
	return p, &differs
}

// testable reports whether samples of these sizes can differ significantly,
// by comparing two that could not be farther apart.
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

// probability is that of seeing such a difference, or a greater one, between
// samples of one distribution. Where the test can't tell (all values are
// equal) there is none to see.
func probability(a, b []float64) float64 {
	test, err := stats.MannWhitneyUTest(a, b, stats.LocationDiffers)
	if err != nil {
		return 1
	}
	return test.P
}
