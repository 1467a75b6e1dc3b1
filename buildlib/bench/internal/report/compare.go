package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Comparison is how a measurement differs from an earlier one.
type Comparison struct {
	Old, New *Record
	// Tolerance is how much worse, in percent of the old value, is accepted.
	// Negative: any change.
	Tolerance float64
	// Warnings are about what makes the two less comparable.
	Warnings []string
	Changes  []Change
}

// Change is one metric of one side of a case, then and now.
type Change struct {
	Platform, Case, Side string
	Metric               Metric
	Old, New             Estimate
	// Percent is by how much the median grew. Below 0: it is better.
	Percent float64
	// P and Significant are as in Ratio.
	P           float64
	Significant *bool
	// Past is set if it is worse than the tolerance allows, and not by chance: see
	// Compare.
	Past bool
}

// Compare compares two measurements. A change is past the tolerance (percent;
// negative: none is) if the median grew by more, and the difference is
// significant.
//
// With too few runs for a test (below 4 on both sides), as builds of minutes often
// have, nothing could be significant, and the tolerance could never be exceeded. Then a
// change is past it if every run is above every old run by more than the tolerance.
//
// It is an error if the two have nothing in common.
func Compare(old, new *Record, tolerance float64) (*Comparison, error) {
	c := &Comparison{Old: old, New: new, Tolerance: tolerance}
	for _, l := range new.legs {
		for _, m := range metrics {
			before, now := old.series[l][m], new.series[l][m]
			if len(before) == 0 || len(now) == 0 {
				continue
			}
			ch := Change{Platform: l.platform, Case: l.name, Side: l.side, Metric: m, Old: estimate(before), New: estimate(now)}
			ch.Percent = 100 * (ch.New.Median/ch.Old.Median - 1)
			ch.P, ch.Significant = differ(before, now)
			ch.Past = tolerance >= 0 && ch.past(before, now, 1+tolerance/100)
			c.Changes = append(c.Changes, ch)
		}
	}
	if len(c.Changes) == 0 {
		return nil, fmt.Errorf("%s has nothing to compare with: it measured %s, and %s %s", old.Name, list(old.legs), new.Name, list(new.legs))
	}
	c.warn()
	return c, nil
}

// past reports whether now is worse than before by more than the factor.
func (ch Change) past(before, now []float64, factor float64) bool {
	if ch.Significant == nil {
		return slices.Min(now) > slices.Max(before)*factor
	}
	return *ch.Significant && ch.New.Median > ch.Old.Median*factor
}

// warn finds differences in what the two measured.
func (c *Comparison) warn() {
	if c.Old.setup["pkg"] != nil && !slices.Equal(c.Old.setup["pkg"], c.New.setup["pkg"]) {
		c.warnf("the baseline is of another module: %s, now %s", values(c.Old, "pkg"), values(c.New, "pkg"))
	}
	for _, s := range []struct{ key, name string }{
		{"goos", "host system"}, {"goarch", "host architecture"}, {"cpu", "processor"}, {"cores", "processors"}, {"gomaxprocs", "GOMAXPROCS"},
		{"go", "Go"}, {"goflags", "GOFLAGS"}, {"goexperiment", "GOEXPERIMENT"}, {"gofips140", "GOFIPS140"},
		{"emulator", "emulator"}, {"flags", "flags of go build"}, {"binaries", "binaries"},
	} {
		if !slices.Equal(c.Old.setup[s.key], c.New.setup[s.key]) {
			c.warnf("%s: was %s, now %s", s.name, values(c.Old, s.key), values(c.New, s.key))
		}
	}
	for _, rec := range []*Record{c.Old, c.New} {
		if rec.noisy > 0 {
			c.warnf("%s: %s flagged as noisy", rec.Name, plural(rec.noisy, "run"))
		}
	}
	for _, l := range c.Old.legs {
		if c.New.series[l] == nil {
			c.warnf("%s: in the baseline, not measured now", l)
		}
	}
	for _, l := range c.New.legs {
		if c.Old.series[l] == nil {
			c.warnf("%s: not in the baseline", l)
		}
	}
}

func (c *Comparison) warnf(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func values(rec *Record, key string) string {
	if len(rec.setup[key]) == 0 {
		return "(none)"
	}
	return strings.Join(rec.setup[key], " and ")
}

func list(legs []place) string {
	if len(legs) == 0 {
		return "nothing"
	}
	var names []string
	for _, l := range legs {
		names = append(names, l.String())
	}
	if len(names) > 4 {
		names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
	}
	return strings.Join(names, ", ")
}

// Err is nil if nothing is past the tolerance, and otherwise says what is.
func (c *Comparison) Err() error {
	var worse []error
	for _, ch := range c.Changes {
		if ch.Past {
			worse = append(worse, fmt.Errorf("%s %s %s: %s: %s, was %s: %+.1f%%, and %g%% is tolerated",
				ch.Platform, ch.Case, ch.Side, ch.Metric, ch.Metric.format(ch.New.Median), ch.Metric.format(ch.Old.Median), ch.Percent, c.Tolerance))
		}
	}
	return errors.Join(worse...)
}

// String prints the comparison in 80 columns: per metric the medians then and
// now, and the change with its significance. "~" is benchstat's sign for a
// difference that may be chance.
func (c *Comparison) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "against %s", c.Old.Name)
	if c.Old.About != "" {
		fmt.Fprintf(&b, " (%s)", c.Old.About)
	}
	b.WriteString("\n")
	for _, w := range c.Warnings {
		b.WriteString(wrap("warning: " + w))
	}
	var last place
	for _, ch := range c.Changes {
		if l := (place{ch.Platform, ch.Case, ch.Side}); l != last {
			fmt.Fprintf(&b, "\n%s\n", l)
			last = l
		}
		fmt.Fprintf(&b, "  %-16s%14s%14s  %s\n", ch.Metric, ch.Metric.estimate(ch.Old), ch.Metric.estimate(ch.New), ch.verdict())
	}
	if c.Tolerance >= 0 {
		past := 0
		for _, ch := range c.Changes {
			if ch.Past {
				past++
			}
		}
		fmt.Fprintf(&b, "\n%d of %d past the tolerance of %g%%", past, len(c.Changes), c.Tolerance)
		if past > 0 {
			b.WriteString(" (!)")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// verdict prints the change, how sure it is, and whether it is too much.
func (ch Change) verdict() string {
	runs := fmt.Sprintf("n=%d", ch.New.N)
	if ch.Old.N != ch.New.N {
		runs = fmt.Sprintf("n=%d+%d", ch.Old.N, ch.New.N)
	}
	var text string
	switch {
	case ch.Significant == nil:
		text = fmt.Sprintf("~ (%+.1f%%, %s, too few)", ch.Percent, runs)
	case !*ch.Significant:
		text = fmt.Sprintf("~ (p=%.3f %s)", ch.P, runs)
	default:
		text = fmt.Sprintf("%+.1f%% (p=%.3f %s)", ch.Percent, ch.P, runs)
	}
	if ch.Past {
		text += " !"
	}
	return text
}
