// Package benchfmt checks bench.txt and the statistics of package report
// against those of benchstat, golang.org/x/perf.
package benchfmt

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"github.com/multimage/multimage/buildlib/bench/internal/measure"
	"github.com/multimage/multimage/buildlib/bench/internal/report"
)

// metrics are the units that benchstat shows.
var metrics = map[report.Metric]string{
	report.Wall: "sec/op", report.CPU: "user+sys-sec/op", report.PSS: "peak-PSS-bytes", report.MaxRSS: "peak-RSS-bytes",
}

// read gives each leg's values, as benchfmt reads them.
func read(t *testing.T, text []byte) map[string]map[string][]float64 {
	t.Helper()
	all := map[string]map[string][]float64{}
	reader := benchfmt.NewReader(bytes.NewReader(text), "bench.txt")
	for reader.Scan() {
		switch res := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Errorf("a line is wrong: %v", res)
		case *benchfmt.Result:
			name := string(res.Name)
			if all[name] == nil {
				all[name] = map[string][]float64{}
			}
			for _, v := range res.Values {
				all[name][v.Unit] = append(all[name][v.Unit], v.Value)
			}
			if len(res.Config) == 0 {
				t.Errorf("%s has no configuration", name)
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Error(err)
	}
	if len(all) > 0 {
		for _, unit := range metrics {
			if reader.Units().GetBetter(unit) != -1 {
				t.Errorf("less %s isn't better", unit)
			}
		}
	}
	return all
}

func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(append([]float64(nil), values...), &benchmath.DefaultThresholds)
}

// A kept bench.txt holds for benchstat what it holds for us.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("../*/bench.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		legs := read(t, text)
		rec, err := report.Read(file)
		if err != nil {
			if len(legs) > 0 {
				t.Errorf("%s: benchfmt reads %d legs, and we: %v", file, len(legs), err)
			}
			continue
		}
		compared, err := report.Compare(rec, rec, -1)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want := 0
		for _, values := range legs {
			want += len(values)
		}
		if len(compared.Changes) != want {
			t.Errorf("%s: we read %d metrics, benchfmt %d", file, len(compared.Changes), want)
		}
		for _, c := range compared.Changes {
			if strings.ContainsFunc(c.Platform, unicode.IsSpace) {
				continue // a made-up one, whose name is escaped
			}
			same(t, fmt.Sprint(file, ": ", c.Platform, " ", c.Case, " ", c.Side, " ", c.Metric), c.New, values(legs, c.Platform, c.Case, c.Side, c.Metric))
		}
	}
}

// values are those of a leg.
func values(legs map[string]map[string][]float64, platform, name, side string, m report.Metric) []float64 {
	return legs["Build/platform="+strings.ReplaceAll(platform, "/", "_")+"/case="+name+"/side="+side][metrics[m]]
}

// same compares an estimate with benchmath's.
func same(t *testing.T, what string, got report.Estimate, values []float64) {
	t.Helper()
	if got.N != len(values) {
		t.Errorf("%s: %d values, benchfmt reads %d", what, got.N, len(values))
		return
	}
	want := benchmath.AssumeNothing.Summary(sample(values), 0.95)
	near(t, what, got.Median, want.Center)
	if (got.Interval == nil) != (math.IsInf(want.Lo, 0) || math.IsInf(want.Hi, 0)) {
		t.Errorf("%s: interval %+v, benchmath's is %+v", what, got.Interval, want)
	} else if got.Interval != nil {
		near(t, what, got.Interval.Low, want.Lo)
		near(t, what, got.Interval.High, want.Hi)
		near(t, what, got.Interval.Confidence, want.Confidence)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Medians, intervals and significance are benchstat's, for samples of all sizes,
// with and without ties.
func TestStatistics(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		runs := func(side float64) *report.Leg {
			leg := &report.Leg{}
			for range 1 + (n+int(side))%31 {
				wall := side + math.Round(random.Float64()*float64(1+n))/float64(int(1)<<(n%3)) // ties, exact in nanoseconds
				leg.Runs = append(leg.Runs, measure.Usage{Wall: 1 + wall, User: wall / 2, MaxRSS: 1 + int64(wall*1000)})
			}
			return leg
		}
		r := report.Report{Module: "example.com/made-up", Platforms: []report.Platform{
			{Platform: "linux/arm64", Cases: []report.Case{{Name: report.Cold, Native: runs(1), Emulated: runs(3)}}},
		}}
		legs := read(t, r.Text())
		s := r.Summaries()[0]
		for m := range s.Native {
			native := values(legs, s.Platform, s.Case, report.Native, m)
			emulated := values(legs, s.Platform, s.Case, report.Emulated, m)
			what := fmt.Sprint("sample ", n, " ", m)
			same(t, what, s.Native[m], native)
			same(t, what, s.Emulated[m], emulated)
			test := benchmath.AssumeNothing.Compare(sample(native), sample(emulated))
			near(t, what, s.Ratio[m].P, test.P)
			if is := s.Ratio[m].Significant; is != nil && *is != (test.P <= test.Alpha) || is == nil && test.P <= test.Alpha {
				t.Errorf("%s: significant %v, benchmath says p=%v", what, is, test.P)
			}
		}
	}
}
