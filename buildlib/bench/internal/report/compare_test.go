package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// slower is a report whose native cold builds for arm64 take that much longer.
func slower(r Report, factor float64) Report {
	for i := range r.Platforms[1].Cases[0].Native.Runs {
		run := &r.Platforms[1].Cases[0].Native.Runs[i]
		run.Wall *= factor
	}
	return r
}

// change is what a comparison says of the time of native cold builds for arm64.
func change(t *testing.T, c *Comparison) Change {
	t.Helper()
	for _, ch := range c.Changes {
		if ch.Platform == "linux/arm64" && ch.Case == Cold && ch.Side == Native && ch.Metric == Wall {
			return ch
		}
	}
	t.Fatalf("nothing about it in %+v", c.Changes)
	return Change{}
}

func TestCompare(t *testing.T) {
	// Runs are two percent apart, so that six cover 95 to 105 %.
	for _, tt := range []struct {
		name      string
		old, new  int // runs
		factor    float64
		tolerance float64
		verdict   string
		past      bool
	}{
		{"the same", 6, 6, 1, 5, "~ (p=1.000 n=6)", false},
		{"worse, and sure", 6, 6, 1.2, 5, "+20.0% (p=0.002 n=6) !", true},
		{"worse, and tolerated", 6, 6, 1.2, 25, "+20.0% (p=0.002 n=6)", false},
		{"worse, and nothing asked", 6, 6, 1.2, -1, "+20.0% (p=0.002 n=6)", false},
		{"worse, with no tolerance at all", 6, 6, 1.2, 0, "+20.0% (p=0.002 n=6) !", true},
		{"worse by chance", 6, 6, 1.03, 1, "~ (p=0.240 n=6)", false},
		{"better", 6, 6, 0.5, 5, "-50.0% (p=0.002 n=6)", false},
		{"unequal numbers", 6, 4, 1.2, 5, "+20.0% (p=0.010 n=6+4) !", true},
		{"one run, worse", 1, 1, 1.2, 5, "~ (+20.0%, n=1, too few) !", true},
		{"one run, tolerated", 1, 1, 1.04, 5, "~ (+4.0%, n=1, too few)", false},
		// 98 to 102 % against 1.08 times that: even the best run now is more
		// than 2 % above the worst one then.
		{"three runs, all worse", 3, 3, 1.08, 2, "~ (+8.0%, n=3, too few) !", true},
		// The median is 6 % worse, but the best run now is not.
		{"three runs, mixed", 3, 3, 1.06, 5, "~ (+6.0%, n=3, too few)", false},
		{"many against one", 15, 1, 1.5, 5, "~ (+50.0%, n=15+1, too few) !", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Compare(complete(tt.old).Record("bench.json"), slower(complete(tt.new), tt.factor).Record("this run"), tt.tolerance)
			if err != nil {
				t.Fatal(err)
			}
			ch := change(t, c)
			if got := ch.verdict(); got != tt.verdict {
				t.Errorf("%s, want %s", got, tt.verdict)
			}
			if ch.Past != tt.past {
				t.Errorf("past the tolerance: %v, want %v", ch.Past, tt.past)
			}
			switch err := c.Err(); {
			case (err != nil) != tt.past:
				t.Errorf("error %v, want one: %v", err, tt.past)
			case tt.past && !strings.HasPrefix(err.Error(), "linux/arm64 cold native: time: "):
				t.Errorf("the error doesn't say of what: %v", err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("it warns of equals: %q", c.Warnings)
			}
			for line := range strings.Lines(c.String()) {
				if n := utf8.RuneCountInString(line) - 1; n > 80 {
					t.Errorf("%d columns, more than a terminal's 80: %s", n, line)
				}
			}
		})
	}
}

// A baseline that was kept as text is as good as one in JSON.
func TestCompareFiles(t *testing.T) {
	now := slower(complete(6), 1.2).Record("this run")
	var said []string
	for name, data := range map[string][]byte{"bench.json": jsonOf(t, complete(6)), "bench.txt": complete(6).Text()} {
		old, err := Read(kept(t, name, data))
		if err != nil {
			t.Fatal(err)
		}
		old.Name = "FILE"
		c, err := Compare(old, now, 10)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, c.String())
	}
	if said[0] != said[1] {
		t.Errorf("the two files are compared differently:\n%s\n%s", said[0], said[1])
	}
	want := `against FILE (v1.2.0, commit 0123456789ab, 2026-01-02T12:00:00Z)

linux/amd64 cold native
  time               20.0 s ± 5%   20.0 s ± 5%  ~ (p=1.000 n=6)
  processor time     35.0 s ± 5%   35.0 s ± 5%  ~ (p=1.000 n=6)
  peak memory        502 MB ± 0%   502 MB ± 0%  ~ (p=1.000 n=6)
  largest process    302 MB ± 1%   302 MB ± 1%  ~ (p=1.000 n=6)
`
	if !strings.HasPrefix(said[0], want) {
		t.Errorf("got\n%s\nwant\n%s", said[0], want)
	}
	for _, line := range []string{"  time               20.0 s ± 5%   24.0 s ± 5%  +20.0% (p=0.002 n=6) !\n", "\n1 of 56 past the tolerance of 10% (!)\n"} {
		if !strings.Contains(said[0], line) {
			t.Errorf("no line %q in\n%s", line, said[0])
		}
	}
}

// What makes two measurements less comparable is said.
func TestCompareWarnings(t *testing.T) {
	then := complete(1)
	now := complete(1)
	now.Go.Version, now.Go.Flags = "go1.27.0", "-mod=vendor"
	now.Host.CPU, now.Host.Cores, now.Procs = "Another CPU", 4, 4
	now.Flags = nil
	now.Binaries = now.Binaries[:1]
	for i := range now.Platforms {
		if now.Platforms[i].Emulator != nil {
			now.Platforms[i].Emulator.Version = "9.2.0"
		}
	}
	now.Platforms[3].Platform = "linux/s390x"
	then.Platforms[0].Cases[0].Native.Runs[0].Noisy = []string{"stolen"}
	c, err := Compare(then.Record("bench.json"), now.Record("this run"), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"processor: was Made-up CPU @ 2.00GHz, now Another CPU",
		"processors: was 2, now 4",
		"GOMAXPROCS: was 2, now 4",
		"Go: was go1.26.8, now go1.27.0",
		"GOFLAGS: was (none), now -mod=vendor",
		"emulator: was QEMU 7.2.22 through binfmt_misc, now QEMU 9.2.0 through binfmt_misc",
		"flags of go build: was -trimpath -buildvcs=false, now (none)",
		"binaries: was server agent, now server",
		"bench.json: 1 run flagged as noisy",
	}
	for _, l := range []string{"cold native", "cold emulated", "warm native", "warm emulated"} {
		want = append(want, fmt.Sprintf("linux/riscv64 %s: in the baseline, not measured now", l))
	}
	for _, l := range []string{"cold native", "cold emulated", "warm native", "warm emulated"} {
		want = append(want, fmt.Sprintf("linux/s390x %s: not in the baseline", l))
	}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(c.Warnings, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(c.String(), "warning: Go: was go1.26.8, now go1.27.0\n") {
		t.Errorf("the text doesn't warn:\n%s", c)
	}

	other := complete(1)
	other.Module = "example.com/other"
	c, err = Compare(other.Record("bench.json"), complete(1).Record("this run"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"the baseline is of another module: example.com/other, now example.com/made-up"}; !slices.Equal(c.Warnings, want) {
		t.Errorf("got %q, want %q", c.Warnings, want)
	}
}

// A gate that compares nothing must not pass.
func TestCompareNothing(t *testing.T) {
	now := complete(1)
	for i := range now.Platforms {
		now.Platforms[i].Platform = fmt.Sprint("plan9/", i)
	}
	_, err := Compare(complete(1).Record("bench.json"), now.Record("this run"), 0)
	want := "bench.json has nothing to compare with: it measured linux/amd64 cold native, linux/amd64 warm native, linux/arm64 cold native, 11 more, " +
		"and this run plan9/0 cold native, plan9/0 warm native, plan9/1 cold native, 11 more"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := Compare(complete(1).Record("bench.json"), base().Record("this run"), 0); err == nil || !strings.HasSuffix(err.Error(), "and this run nothing") {
		t.Errorf("a run that measured nothing: %v", err)
	}
}
