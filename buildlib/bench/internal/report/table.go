package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is the report for a terminal: a line per platform and case with both
// sides' median time, the ratios of time, processor time and memory, and
// whether the binaries are the same; then what needs words.
func (r Report) Table() string {
	rows := [][]string{{"PLATFORM", "CASE", "NATIVE", "EMULATED", "TIME", "CPU", "MEMORY", "SAME"}}
	last := ""
	for _, s := range r.Summaries() {
		platform := ""
		if s.Platform != last {
			platform, last = short(s.Platform, 24), s.Platform
		}
		rows = append(rows, []string{platform, short(s.Case, 8), s.cell(Native), s.cell(Emulated),
			s.ratioCell(Wall, "x"), s.ratioCell(CPU, "x"), s.memoryRatio("x"), s.same()})
	}
	var b strings.Builder
	align(&b, rows, []bool{false, false, true, true, true, true, true, false})
	for _, note := range r.notes() {
		b.WriteString(wrap(note, 80, "  "))
	}
	return b.String()
}

// align writes rows in columns two spaces apart.
func align(b *strings.Builder, rows [][]string, right []bool) {
	widths := make([]int, len(right))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line.WriteString(fill + cell)
			} else {
				line.WriteString(cell + fill)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// cell is a side's median time, a word where there is none, and a star if some
// of its runs are flagged.
func (s Summary) cell(side string) string {
	all, leg, noisy := s.Native, s.legs.Native, s.NoisyNative
	if side == Emulated {
		all, leg, noisy = s.Emulated, s.legs.Emulated, s.NoisyEmulated
	}
	e, measured := all[Wall]
	switch {
	case measured:
		text := strings.TrimSpace(seconds(e.Median) + " " + e.spread())
		if noisy > 0 {
			text += "*"
		}
		return text
	case leg != nil && leg.Failure != "":
		return "failed"
	case side == Emulated && s.platform.Host:
		return ""
	}
	return "none"
}

// ratioCell is a ratio; "~" if the test finds no difference.
func (s Summary) ratioCell(m Metric, sign string) string {
	r, ok := s.Ratio[m]
	switch {
	case !ok:
		return ""
	case r.Significant != nil && !*r.Significant:
		return "~"
	}
	return times(r.Ratio, sign)
}

// memoryRatio compares the whole trees where that is known, and else the
// largest processes.
func (s Summary) memoryRatio(sign string) string {
	if _, ok := s.Ratio[PSS]; ok {
		return s.ratioCell(PSS, sign)
	}
	return s.ratioCell(MaxRSS, sign)
}

func (s Summary) same() string {
	switch {
	case s.legs.Same == nil:
		return ""
	case *s.legs.Same:
		return "yes"
	}
	return "NO"
}

// notes are what a table can't say, the worst first.
func (r Report) notes() []string {
	var notes []string
	if r.Partial != "" {
		notes = append(notes, "partial: "+clean(r.Partial))
	}
	var runs, flagged, fewest, most int
	chance := false
	for _, s := range r.Summaries() {
		at := clean(s.Platform + " " + s.Case)
		if s.legs.Same != nil && !*s.legs.Same {
			notes = append(notes, at+": the binaries DIFFER: "+short(s.legs.Difference, 400))
		}
		for side, leg := range s.legs.sides() {
			if leg.Failure != "" {
				notes = append(notes, at+" "+side+": "+short(leg.Failure, 400))
			}
			runs += len(leg.Runs)
			if n := len(leg.Runs); n > 0 {
				most = max(most, n)
				if fewest == 0 || n < fewest {
					fewest = n
				}
			}
		}
		flagged += s.NoisyNative + s.NoisyEmulated
		for _, cell := range []string{s.ratioCell(Wall, ""), s.ratioCell(CPU, ""), s.memoryRatio("")} {
			chance = chance || cell == "~"
		}
	}
	for _, m := range r.missing() {
		notes = append(notes, m.platforms+": not emulated: "+short(m.why, 400))
	}
	if flagged > 0 {
		notes = append(notes, fmt.Sprintf("* %d of %d runs were noisy; report.md says which and why", flagged, runs))
	}
	if chance {
		notes = append(notes, "~ a difference that may be chance")
	}
	switch {
	case fewest == 0:
		notes = append(notes, "nothing was measured")
	case fewest < minInterval && !testable(fewest, fewest):
		notes = append(notes, fmt.Sprintf("%s: too few for an interval of the median (%d) or a test of the difference (%d)", perLeg(fewest, most), minInterval, minTest))
	case fewest < minInterval:
		notes = append(notes, fmt.Sprintf("%s: too few for an interval of the median (%d)", perLeg(fewest, most), minInterval))
	}
	return notes
}

// missing is why platforms weren't emulated.
type missing struct{ platforms, why string }

// missing tells each reason once: a host that can't emulate has the same for
// all platforms.
func (r Report) missing() []missing {
	var all []missing
	for _, p := range r.Platforms {
		at := slices.IndexFunc(all, func(m missing) bool { return m.why == p.Missing })
		switch {
		case p.Missing == "":
		case at >= 0:
			all[at].platforms += ", " + clean(p.Platform)
		default:
			all = append(all, missing{clean(p.Platform), p.Missing})
		}
	}
	return all
}

// minInterval and minTest are how many runs a side needs for an interval of
// its median, and for a difference to be significant; a test holds them to
// what benchmath does.
const (
	minInterval = 6
	minTest     = 4
)

func perLeg(fewest, most int) string {
	if fewest == most {
		return plural(fewest, "run") + " of each leg"
	}
	return "as few as " + plural(fewest, "run") + " of a leg"
}

// wrap breaks a text into lines of at most width runes where it has spaces,
// the second and later ones indented.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
	return b.String()
}
