package report

import (
	"bytes"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// benchfmt reads back each run, with its place and values.
func TestTextIsBenchfmt(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			type result struct {
				leg
				Run
			}
			var want []result
			for _, p := range r.Platforms {
				for _, c := range p.Cases {
					for side, l := range c.sides() {
						for _, run := range l.Runs {
							want = append(want, result{leg{clean(p.Platform), clean(c.Name), side}, run})
						}
					}
				}
			}
			reader := benchfmt.NewReader(bytes.NewReader(r.Text()), "bench.txt")
			i := 0
			for reader.Scan() {
				switch res := reader.Result().(type) {
				case *benchfmt.SyntaxError:
					t.Errorf("a line is wrong: %v", res)
				case *benchfmt.Result:
					if i == len(want) {
						t.Fatalf("more results than runs: %s", res.Name)
					}
					got, ours, err := legOf(res.Name)
					if err != nil || !ours || got != want[i].leg {
						t.Errorf("result %s is %v, %v, %v; want %v", res.Name, got, ours, err, want[i].leg)
					}
					for unit, value := range map[string]float64{"sec/op": want[i].Wall, "user+sys-sec/op": want[i].User + want[i].System,
						"peak-RSS-bytes": float64(want[i].MaxRSS), "peak-PSS-bytes": float64(want[i].PSS)} {
						got, has := res.Value(unit)
						if has != (value > 0) {
							t.Errorf("%s: there is a %s: %v, want %v", res.Name, unit, has, value)
						} else if has {
							near(t, unit, got, value)
						}
					}
					for _, s := range r.setup() {
						if got := res.GetConfig(s.key); got != s.value {
							t.Errorf("configuration %s is %q, want %q", s.key, got, s.value)
						}
					}
					if len(res.Config) != len(r.setup()) {
						t.Errorf("%d settings, want %d: %v", len(res.Config), len(r.setup()), res.Config)
					}
					i++
				}
			}
			if err := reader.Err(); err != nil || i != len(want) {
				t.Errorf("%d results of %d runs, error %v", i, len(want), err)
			}
			for _, unit := range []string{"sec/op", "user+sys-sec/op", "peak-RSS-bytes", "peak-PSS-bytes"} {
				if reader.Units().GetBetter(unit) != -1 {
					t.Errorf("less %s isn't better", unit)
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
	config := func(r Report) string {
		reader := benchfmt.NewReader(bytes.NewReader(r.Text()), "bench.txt")
		for reader.Scan() {
			if res, ok := reader.Result().(*benchfmt.Result); ok {
				var b bytes.Buffer
				for _, c := range res.Config {
					b.WriteString(c.Key + ": " + string(c.Value) + "\n")
				}
				return b.String()
			}
		}
		return ""
	}
	if a, b := config(now), config(then); a != b || a == "" {
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
		reader := benchfmt.NewReader(bytes.NewReader([]byte("Benchmark"+name+" 1 2 ns/op\n")), "x")
		if !reader.Scan() {
			t.Fatalf("benchfmt doesn't see %q", name)
		}
		res, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			t.Fatalf("benchfmt refuses %q: %v", name, reader.Result())
		}
		got, ours, err := legOf(res.Name)
		if err != nil || ours != (clean(s) != "") || ours && got != (leg{clean(s), Cold, Native}) {
			t.Errorf("%q is read back as %+v, %v, %v", s, got, ours, err)
		}
	})
}
