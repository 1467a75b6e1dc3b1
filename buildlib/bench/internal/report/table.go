package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// minInterval and minTest are how many runs a side needs for an interval of its median,
// and for a significant difference. A test compares them with go-moremath.
const (
	minInterval = 6
	minTest     = 4
)

// Table is the report for a terminal: for each platform and case a line with both sides'
// median time, the ratios of time, processor time and memory, and whether the binaries
// are the same; below it notes.
func (r Report) Table() string {
	rows := [][]string{{"PLATFORM", "CASE", "NATIVE", "EMULATED", "TIME", "CPU", "MEMORY", "SAME"}}
	last, chance := "", false
	for _, s := range r.Summaries() {
		platform, memory := "", PSS
		if s.Platform != last {
			platform, last = short(s.Platform, 24), s.Platform
		}
		if _, known := s.Ratio[PSS]; !known {
			memory = MaxRSS
		}
		row := []string{platform, short(s.Case, 8), s.Cell(Native), s.Cell(Emulated),
			s.RatioCell(Wall, "x"), s.RatioCell(CPU, "x"), s.RatioCell(memory, "x"), s.SameWord()}
		chance = chance || strings.Contains(strings.Join(row[4:7], ""), "~")
		rows = append(rows, row)
	}
	var b strings.Builder
	align(&b, rows)
	if r.Partial != "" {
		b.WriteString(wrap("partial: " + r.Partial))
	}
	for _, t := range r.troubles(400) {
		if t.Differ {
			t.Place += ": the binaries DIFFER"
		}
		b.WriteString(wrap(t.Place + ": " + t.Why))
	}
	t := r.totals()
	if n := len(t.Flagged); n > 0 {
		b.WriteString(wrap(fmt.Sprintf("* %d of %d runs were noisy; report.md says which and why", n, t.Runs)))
	}
	if chance {
		b.WriteString("~ a difference that may be chance\n")
	}
	if t.Runs == 0 {
		b.WriteString("nothing was measured\n")
	} else if t.Fewest < minInterval {
		note := plural(t.Fewest, "run") + " of each leg"
		if t.Fewest != t.Most {
			note = "as few as " + plural(t.Fewest, "run") + " of a leg"
		}
		note += fmt.Sprintf(": too few for an interval of the median (%d)", minInterval)
		if t.Fewest < minTest {
			note += fmt.Sprintf(" or a test of the difference (%d)", minTest)
		}
		b.WriteString(wrap(note))
	}
	return b.String()
}

// align writes rows in columns two spaces apart, with words left- and figures
// right-aligned.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			width := widths[i]
			if i < 2 || i == len(row)-1 {
				width = -width
			}
			line += fmt.Sprintf("%*s  ", width, cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// Cell is a side's median time, with a star if some of its runs are flagged, or a word
// if there is none.
func (s Summary) Cell(side string) string {
	estimates, leg := s.side(side)
	switch {
	case estimates[Wall].N > 0 && leg.noisy() > 0:
		return s.Value(side, Wall) + "*"
	case estimates[Wall].N > 0:
		return s.Value(side, Wall)
	case leg != nil && leg.Failure != "":
		return "failed"
	case side == Emulated && s.platform.Host:
		return ""
	}
	return "none"
}

// Value is a side's median with its unit and its spread; empty if it has no runs.
func (s Summary) Value(side string, m Metric) string {
	estimates, _ := s.side(side)
	return m.estimate(estimates[m])
}

// RatioCell is a ratio; "~" if the test finds no difference.
func (s Summary) RatioCell(m Metric, sign string) string {
	r, ok := s.Ratio[m]
	switch {
	case !ok:
		return ""
	case r.Significant != nil && !*r.Significant:
		return "~"
	}
	return times(r.Ratio, sign)
}

// wrap breaks a text at spaces into lines of at most 80 runes, and indents all but the
// first.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(clean(text)) {
		n := utf8.RuneCountInString(word)
		switch {
		case b.Len() == 0:
		case column+1+n > 80:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String() + "\n"
}
