package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// page is what report.md.tmpl fills in.
type page struct {
	Report
	Totals   totals
	All      []Summary
	Change   string
	Troubles []trouble
}

// Markdown is report.md, which CI systems also show as a summary: the results, how they
// were measured, and on what. change is a comparison with a baseline; nil: none.
func (r Report) Markdown(change *Comparison) []byte {
	p := page{Report: r, Totals: r.totals(), All: r.Summaries(), Troubles: r.troubles(1000)}
	if change != nil {
		p.Change = strings.ReplaceAll(change.String(), "`", "'")
	}
	return execute("report.md.tmpl", p)
}

// Headline is the result in sentences.
func (p page) Headline() []string {
	var lines []string
	if p.Partial != "" {
		lines = append(lines, "> **Partial:** "+md(p.Partial)+". What follows is what had been measured.")
	}
	what := md(strings.Join(p.Binaries, ", "))
	if what == "" {
		what = "the project"
	}
	var found []string
	caveat := ""
	for _, name := range caseNames(p.All) {
		low, high := math.Inf(1), 0.0
		for _, s := range p.All {
			// Leave out differences that may be chance, and platforms that the
			// kernel runs itself.
			ratio, ok := s.Ratio[Wall]
			if !ok || s.Case != name || s.RatioCell(Wall, "") == "~" || s.platform.Emulator != nil && s.platform.Emulator.Kind == "native" {
				continue
			}
			low, high = min(low, ratio.Ratio), max(high, ratio.Ratio)
			if ratio.Significant == nil {
				caveat = " These are medians of too few runs for a test of significance."
			}
		}
		if high == 0 {
			continue
		}
		span := times(low, "")
		if upper := times(high, ""); upper != span {
			span += " to " + upper
		}
		words := map[string]string{Cold: "with an empty build cache", Warm: "after a change of one line"}[name]
		if words == "" {
			words = "in the case " + md(name)
		}
		found = append(found, fmt.Sprintf("**%s times** as long %s", span, words))
	}
	switch {
	case !slices.ContainsFunc(p.All, func(s Summary) bool { return len(s.Ratio) > 0 }):
		return append(lines, "No platform was built on both sides, so there is nothing to compare.")
	case len(found) == 0:
		return append(lines, "No difference was found between native and emulated builds of "+what+": see the table for what was measured.")
	}
	lines = append(lines, fmt.Sprintf("Compared with native cross-compilation, an emulated build of %s takes %s.%s", what, strings.Join(found, ", and "), caveat))
	switch same, different, unknown := compared(p.All); {
	case different > 0:
		return append(lines, fmt.Sprintf("**The binaries of both sides differ** in %d of %d cases: see below.", different, same+different))
	case same == 0:
		return append(lines, "The binaries of both sides were not compared.")
	case unknown > 0:
		return append(lines, fmt.Sprintf("Where both sides were built (%s), their binaries are the same, byte for byte.", plural(same, "case")))
	}
	return append(lines, "The binaries of both sides are the same, byte for byte.")
}

// Label is the platform as a cell.
func (s Summary) Label() string {
	if s.platform.Host {
		return md(s.Platform) + " (the host)"
	}
	return md(s.Platform)
}

// Bounds are those of the ratio of times.
func (s Summary) Bounds() *Interval { return s.Ratio[Wall].Bounds }

// bars are a Mermaid chart. Both sides are in one series, and their labels tell them
// apart: Mermaid draws the bars of two series over each other, and missing ones as
// stubs.
type bars struct {
	Title, Ceiling string
	Labels, Values []string
}

// Height is the chart's, in pixels.
func (b bars) Height() int { return 140 + 32*len(b.Labels) }

// Bars are the times: a chart for each case with a bar for each leg.
func (p page) Bars() []bars {
	var charts []bars
	for _, name := range caseNames(p.All) {
		b := bars{Title: map[string]string{Cold: "Empty build cache", Warm: "One line changed"}[name]}
		if b.Title == "" {
			b.Title = short(name, 40)
		}
		highest := 0.0
		for _, s := range p.All {
			for _, side := range []string{Native, Emulated} {
				estimates, _ := s.side(side)
				if median := estimates[Wall].Median; s.Case == name && median > 0 {
					b.Labels = append(b.Labels, short(s.Platform, 24)+" "+side)
					b.Values = append(b.Values, decimal(median))
					highest = max(highest, median)
				}
			}
		}
		if b.Ceiling = decimal(niceCeiling(highest)); len(b.Labels) > 0 {
			charts = append(charts, b)
		}
	}
	return charts
}

// decimal prints seconds for a program, to the millisecond.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

// resource is a row of a case's processor time or memory.
type resource struct {
	Summary
	Metric Metric
}

// Resources are those that are known.
func (p page) Resources() []resource {
	var rows []resource
	for _, s := range p.All {
		for _, m := range metrics[1:] {
			if s.Native[m].N+s.Emulated[m].N > 0 {
				rows = append(rows, resource{s, m})
			}
		}
	}
	return rows
}

// Setting lists what the times depend on.
func (p page) Setting() []setting {
	memory, budget := amount(p.Host.Memory), ""
	if memory != "" {
		memory += " of memory"
	}
	if p.Budget > 0 {
		budget = threeDigits(p.Budget/60) + " min"
	}
	all := []setting{
		{"module", p.Module + " " + p.Version},
		{"commit", p.commit()},
		{"binaries", strings.Join(p.Binaries, ", ")},
		{"host", joined(", ", p.Host.Platform, p.Host.CPU, count(p.Host.Cores, "processor"), memory, p.Host.Kernel, p.Host.Virtual)},
		{"Go", joined(", ", p.Go.Version, assigned("GOFLAGS", p.Go.Flags), assigned("GOEXPERIMENT", p.Go.Experiment), assigned("GOFIPS140", p.Go.FIPS140))},
		{"GOMAXPROCS", positive(p.Procs)},
		{"flags of go build", strings.Join(p.Flags, " ")},
	}
	for _, platform := range p.Platforms {
		if e := platform.Emulator; e != nil {
			all = append(all, setting{platform.Platform, joined(", ", e.String(), e.Path, platform.Toolchain)})
		}
	}
	return known(append(all, setting{"measured", joined(" to ", moment(p.Start), moment(p.End))}, setting{"time budget", budget}))
}

func assigned(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + value
}
