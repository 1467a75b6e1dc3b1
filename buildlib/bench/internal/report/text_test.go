package report

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Each run is read back with its place and values. (testdata/benchfmt reads
// them with golang.org/x/perf.)
func TestTextIsReadBack(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			rec, err := parseText("bench.txt", r.Text())
			if err != nil {
				t.Fatal(err)
			}
			var legs []place
			for at, leg := range r.legs() {
				if len(leg.Runs) == 0 {
					continue
				}
				legs = append(legs, at)
				for _, m := range metrics {
					got, want := rec.series[at][m], leg.values(m)
					if len(got) != len(want) {
						t.Fatalf("%s: %d values of %s, want %d", at, len(got), m, len(want))
					}
					for i := range got {
						near(t, at.String()+" "+m.String(), got[i], want[i])
					}
				}
			}
			if !slices.Equal(rec.legs, legs) {
				t.Errorf("measured %v, want %v", rec.legs, legs)
			}
			for _, s := range r.setup() {
				if len(legs) > 0 && !slices.Equal(rec.setup[s.Key], []string{s.Value}) {
					t.Errorf("%s is %q, want %q", s.Key, rec.setup[s.Key], s.Value)
				}
			}
		})
	}
}

// benchstat compares what has equal configuration, so a new commit, version or
// date must not change it.
func TestTextConfigurationIsStable(t *testing.T) {
	now, then := complete(1), complete(1)
	then.Version, then.Revision, then.Dirty, then.Host.Kernel = "v1.1.0", "fedcba", true, "6.1.1"
	then.Start, then.End, then.Partial, then.Budget = noon.AddDate(-1, 0, 0), noon.AddDate(-1, 0, 1), "interrupted", 60
	if a, b := now.Record("now").setup, then.Record("then").setup; !reflect.DeepEqual(a, b) || len(a) == 0 {
		t.Errorf("the configuration is\n%s\nand was\n%s", a, b)
	}
	if bytes.Equal(now.Text(), then.Text()) {
		t.Error("the file doesn't say what was measured when")
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"linux/arm/v7", "linux_arm", "a b%20", "-8", "=", "ä/\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := benchName(s, Cold, Native)
		got, ours, err := parseName(name)
		if err != nil || ours != (clean(s) != "") || ours && got != (place{clean(s), Cold, Native}) {
			t.Errorf("%q is read back as %+v, %v, %v", s, got, ours, err)
		}
		if len(strings.Fields("Benchmark"+name)) != 1 || maxprocs.MatchString(name) {
			t.Errorf("%q isn't a name", name)
		}
	})
}
