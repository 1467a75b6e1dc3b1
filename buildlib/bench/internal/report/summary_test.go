package report

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestEstimate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		median float64
		low    float64 // 0: no interval
		high   float64
		spread string
	}{
		{"one", []float64{3}, 3, 0, 0, ""},
		{"two", []float64{4, 2}, 3, 0, 0, ""},
		{"five", []float64{5, 1, 4, 2, 3}, 3, 0, 0, ""},
		{"six", []float64{6, 1, 5, 2, 4, 3}, 3.5, 1, 6, "± 71%"},
		{"six equal", []float64{2, 2, 2, 2, 2, 2}, 2, 2, 2, "± 0%"},
		// From 9 runs on the extremes fall out of the interval.
		{"nine", []float64{9, 1, 8, 2, 7, 3, 6, 4, 5}, 5, 2, 8, "± 60%"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := slices.Clone(tt.values)
			e := estimate(tt.values)
			if !slices.Equal(tt.values, given) {
				t.Errorf("it put its argument in order: %v", tt.values)
			}
			if e.N != len(given) || e.Median != tt.median || !strings.HasSuffix(Wall.estimate(e), tt.spread) {
				t.Errorf("got %+v (%s), want median %v of %d (%s)", e, Wall.estimate(e), tt.median, len(given), tt.spread)
			}
			switch {
			case tt.low == 0 && e.Interval != nil:
				t.Errorf("an interval from %d runs: %+v", len(given), *e.Interval)
			case tt.low == 0:
			case e.Interval == nil:
				t.Errorf("no interval, want %v to %v", tt.low, tt.high)
			case e.Interval.Low != tt.low || e.Interval.High != tt.high || e.Interval.Confidence < confidence:
				t.Errorf("interval %+v, want %v to %v at %v", *e.Interval, tt.low, tt.high, confidence)
			}
		})
	}
}

// What is said about too few runs has to be true of the library's statistics.
func TestThresholds(t *testing.T) {
	for n := 1; n <= 10; n++ {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		if got, want := estimate(values).Interval != nil, n >= minInterval; got != want {
			t.Errorf("%d runs have an interval: %v, but minInterval is %d", n, got, minInterval)
		}
		if got, want := testable(n, n), n >= minTest; got != want {
			t.Errorf("%d runs can be tested: %v, but minTest is %d", n, got, minTest)
		}
	}
}

func TestDiffer(t *testing.T) {
	sequence := func(from float64, n int) []float64 {
		var values []float64
		for i := range n {
			values = append(values, from+float64(i))
		}
		return values
	}
	for _, tt := range []struct {
		name string
		a, b []float64
		want string // yes, no, too few
	}{
		{"one each", sequence(1, 1), sequence(100, 1), "too few"},
		{"three each", sequence(1, 3), sequence(100, 3), "too few"},
		{"four each, apart", sequence(1, 4), sequence(100, 4), "yes"},
		{"four each, mixed", sequence(1, 4), sequence(2, 4), "no"},
		{"four each, equal", []float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, "no"},
		{"one against fifteen", sequence(100, 1), sequence(1, 15), "too few"},
		{"three against five", sequence(1, 3), sequence(100, 5), "yes"},
		{"three equal", []float64{1, 1, 1}, []float64{1, 1, 1}, "too few"},
	} {
		got := "too few"
		if _, significant := differ(tt.a, tt.b); significant != nil {
			got = map[bool]string{true: "yes", false: "no"}[*significant]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSummaries(t *testing.T) {
	r := complete(6)
	before := complete(6)
	all := r.Summaries()
	if !reflect.DeepEqual(r, before) {
		t.Error("the runs aren't as they were: their order is that of time")
	}
	if len(all) != 8 {
		t.Fatalf("%d summaries of 4 platforms in 2 cases", len(all))
	}
	cold := all[2] // linux/arm64: 20 s against 200 s, each from 95 % to 105 %
	if cold.Platform != "linux/arm64" || cold.Case != Cold {
		t.Fatalf("the third is of %s, %s", cold.Platform, cold.Case)
	}
	near(t, "native wall", cold.Native[Wall].Median, 20)
	near(t, "native processor time", cold.Native[CPU].Median, 35)
	near(t, "emulated tree", cold.Emulated[PSS].Median, 702.5e6)
	near(t, "emulated process", cold.Emulated[MaxRSS].Median, 402.5e6)
	wall := cold.Ratio[Wall]
	near(t, "ratio", wall.Ratio, 10)
	if wall.Bounds == nil || wall.Significant == nil || !*wall.Significant {
		t.Fatalf("ratio of 6 runs each: %+v", wall)
	}
	// The conservative bounds: 190 s / 21 s, and 210 s / 19 s.
	near(t, "lower bound", wall.Bounds.Low, 190.0/21)
	near(t, "upper bound", wall.Bounds.High, 210.0/19)

	if host := all[0]; len(host.Emulated)+len(host.Ratio) > 0 {
		t.Errorf("the host's line has an emulated side: %+v", host)
	}
	if three := complete(3).Summaries()[2].Ratio[Wall]; three.Bounds != nil || three.Significant != nil {
		t.Errorf("3 runs each have bounds or significance: %+v", three)
	}
}

// A metric that the system doesn't tell is left out, never zero.
func TestUnknownMetrics(t *testing.T) {
	for _, s := range mac().Summaries() {
		if got := slices.Sorted(maps.Keys(s.Native)); !slices.Equal(got, []Metric{CPU, MaxRSS, Wall}) {
			t.Errorf("%s: metrics %v", s.Platform, got)
		}
	}
	// A run whose memory is unknown counts for the others.
	r := complete(2)
	r.Platforms[1].Cases[0].Native.Runs[0].PSS = 0
	s := r.Summaries()[2]
	if s.Native[PSS].N != 1 || s.Native[Wall].N != 2 {
		t.Errorf("PSS of %d runs, time of %d", s.Native[PSS].N, s.Native[Wall].N)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if d := got - want; d > 1e-9*want || d < -1e-9*want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
