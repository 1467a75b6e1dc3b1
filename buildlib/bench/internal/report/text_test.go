package report

import (
	"bytes"
	"maps"
	"testing"
)

// Each run is read back with its place and values. (testdata/benchfmt reads
// them with golang.org/x/perf.)
func TestTextIsReadBack(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			type run struct {
				leg
				Run
			}
			var want []run
			for _, p := range r.Platforms {
				for _, c := range p.Cases {
					for side, l := range c.sides() {
						for _, r := range l.Runs {
							want = append(want, run{leg{clean(p.Platform), clean(c.Name), side}, r})
						}
					}
				}
			}
			all, err := results("bench.txt", r.Text())
			if err != nil || len(all) != len(want) {
				t.Fatalf("%d results of %d runs, error %v", len(all), len(want), err)
			}
			settings := map[string]string{}
			for _, s := range r.setup() {
				settings[s.key] = s.value
			}
			for i, res := range all {
				got, ours, err := legOf(res.name)
				if err != nil || !ours || got != want[i].leg {
					t.Errorf("result %s is %v, %v, %v; want %v", res.name, got, ours, err, want[i].leg)
				}
				values := map[string]float64{}
				for _, v := range res.values {
					values[v.unit] = v.number
				}
				for unit, value := range map[string]float64{"ns/op": 1e9 * want[i].Wall, "user+sys-ns/op": 1e9 * (want[i].User + want[i].System),
					"peak-RSS-bytes": float64(want[i].MaxRSS), "peak-PSS-bytes": float64(want[i].PSS)} {
					got, has := values[unit]
					if has != (value > 0) {
						t.Errorf("%s: there is a %s: %v, want %v", res.name, unit, has, value)
					} else if has {
						near(t, unit, got, value)
					}
				}
				if !maps.Equal(res.config, settings) {
					t.Errorf("the configuration is %q, want %q", res.config, settings)
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
	config := func(r Report) map[string]string {
		all, err := results("bench.txt", r.Text())
		if err != nil || len(all) == 0 {
			t.Fatalf("%d results, error %v", len(all), err)
		}
		return all[0].config
	}
	if a, b := config(now), config(then); !maps.Equal(a, b) || len(a) == 0 {
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
		all, err := results("x", []byte("Benchmark"+name+" 1 2 ns/op\n"))
		if err != nil || len(all) != 1 {
			t.Fatalf("%q gives %d results, error %v", name, len(all), err)
		}
		got, ours, err := legOf(all[0].name)
		if err != nil || ours != (clean(s) != "") || ours && got != (leg{clean(s), Cold, Native}) {
			t.Errorf("%q is read back as %+v, %v, %v", s, got, ours, err)
		}
	})
}
