package report

import (
	"fmt"
	"slices"
	"strings"
)

// release is what the builds of one release cost: of every platform of the project once,
// from an empty cache, one after the other.
type release struct {
	Platforms []string // those included
	Missing   []string // those that weren't measured on both sides, or at all
	native    cost     // all built natively
	emulated  cost     // the host's own natively, the others emulated
}

// cost is in seconds. Zero processor time: unknown for some platform.
type cost struct{ wall, cpu float64 }

// Release adds up the medians of the cold builds; nil if nothing was measured
// on both sides.
func (r Report) Release() *release {
	var sum release
	emulates, cpuKnown := false, true
	for _, s := range r.Summaries() {
		if s.Case != Cold || s.platform.Reference {
			continue
		}
		native, emulated := s.Native, s.Emulated
		if s.platform.Host {
			emulated = native
		}
		if native[Wall].N == 0 || emulated[Wall].N == 0 {
			continue
		}
		emulates = emulates || !s.platform.Host
		cpuKnown = cpuKnown && native[CPU].N > 0 && emulated[CPU].N > 0
		sum.Platforms = append(sum.Platforms, clean(s.Platform))
		sum.native.wall += native[Wall].Median
		sum.native.cpu += native[CPU].Median
		sum.emulated.wall += emulated[Wall].Median
		sum.emulated.cpu += emulated[CPU].Median
	}
	if !emulates {
		return nil
	}
	for _, p := range r.Platforms {
		if name := clean(p.Platform); !p.Reference && !slices.Contains(sum.Platforms, name) {
			sum.Missing = append(sum.Missing, name)
		}
	}
	sum.Missing = append(sum.Missing, r.Unmeasured...)
	if !cpuKnown {
		sum.native.cpu, sum.emulated.cpu = 0, 0
	}
	return &sum
}

// saving is a row of a release's costs, in seconds.
type saving struct {
	Name                    string
	Native, Emulated, Saved float64
}

// Rows are the release's costs in a maintainer's terms.
func (sum release) Rows() []saving {
	var rows []saving
	row := func(name string, native, emulated float64) {
		rows = append(rows, saving{name, native, emulated, emulated - native})
	}
	row("a release", sum.native.wall, sum.emulated.wall)
	if sum.native.cpu > 0 {
		row("its processor time", sum.native.cpu, sum.emulated.cpu)
	}
	row("10 releases", 10*sum.native.wall, 10*sum.emulated.wall)
	row("100 releases", 100*sum.native.wall, 100*sum.emulated.wall)
	return rows
}

// totals are counts over all legs.
type totals struct {
	Runs         int
	Observed     bool     // whether noise is known for some run
	Flagged      []string // the noisy runs, and why
	Fewest, Most int      // runs of a leg that has some
}

func (r Report) totals() totals {
	var t totals
	for at, leg := range r.legs() {
		n := len(leg.Runs)
		t.Runs += n
		t.Most = max(t.Most, n)
		if n > 0 && (t.Fewest == 0 || n < t.Fewest) {
			t.Fewest = n
		}
		for i, run := range leg.Runs {
			t.Observed = t.Observed || run.Noise != nil
			if len(run.Noisy) > 0 {
				t.Flagged = append(t.Flagged, fmt.Sprintf("%s, run %d of %d (%s): %s", at, i+1, n, seconds(run.Wall), strings.Join(run.Noisy, ", ")))
			}
		}
	}
	return t
}

// trouble is something that went wrong.
type trouble struct {
	Place  string
	Differ bool   // the binaries do
	Runs   string // that a failed leg has, for report.md
	Why    string
}

// troubles are all things that went wrong, with reasons of at most limit runes. Platforms
// that weren't emulated for the same reason are one trouble.
func (r Report) troubles(limit int) []trouble {
	var all []trouble
	for _, s := range r.Summaries() {
		if s.SameWord() == "NO" {
			all = append(all, trouble{Place: clean(s.Platform + " " + s.Case), Differ: true, Why: short(s.legs.Difference, limit)})
		}
		for side, leg := range s.legs.sides() {
			if leg.Failure != "" {
				all = append(all, trouble{Place: clean(s.Platform + " " + s.Case + " " + side), Runs: plural(len(leg.Runs), "run"), Why: short(leg.Failure, limit)})
			}
		}
	}
	missing := len(all)
	for _, p := range r.Platforms {
		why := short(p.Missing, limit)
		at := slices.IndexFunc(all[missing:], func(t trouble) bool { return t.Why == "not emulated: "+why })
		switch {
		case p.Missing == "":
		case at >= 0:
			all[missing+at].Place += ", " + clean(p.Platform)
		default:
			all = append(all, trouble{Place: clean(p.Platform), Why: "not emulated: " + why})
		}
	}
	return all
}

// caseNames are the cases that were measured, in order.
func caseNames(all []Summary) []string {
	var names []string
	for _, s := range all {
		if !slices.Contains(names, s.Case) {
			names = append(names, s.Case)
		}
	}
	return names
}

// compared counts the cases by the comparison of their binaries. The host's platform is
// left out: it has nothing to compare.
func compared(all []Summary) (same, different, unknown int) {
	for _, s := range all {
		switch word := s.SameWord(); {
		case word == "yes":
			same++
		case word == "NO":
			different++
		case !s.platform.Host:
			unknown++
		}
	}
	return same, different, unknown
}
