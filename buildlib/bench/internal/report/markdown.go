package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Markdown is report.md, which is also what a CI shows as its summary: what
// came out, how it was measured, and on what. change is a comparison with a
// baseline; nil: there is none.
func (r Report) Markdown(change *Comparison) []byte {
	var b strings.Builder
	b.WriteString("# Native against emulated builds\n\n")
	all := r.Summaries()
	for _, line := range r.headline(all) {
		b.WriteString(line + "\n\n")
	}
	timeTable(&b, all)
	for _, name := range caseNames(all) {
		mermaid(&b, all, name)
	}
	r.problems(&b, all)
	if change != nil {
		fmt.Fprintf(&b, "## Against the baseline\n\n```text\n%s```\n\n", strings.ReplaceAll(change.String(), "`", "'"))
	}
	r.perRelease(&b)
	resourceTable(&b, all)
	r.noise(&b)
	r.method(&b, all)
	r.setting(&b)
	return []byte(b.String())
}

// headline says what the measurement found, in sentences.
func (r Report) headline(all []Summary) []string {
	var lines []string
	if r.Partial != "" {
		lines = append(lines, "> **Partial:** "+md(r.Partial)+". What follows is what had been measured.")
	}
	what := md(strings.Join(r.Binaries, ", "))
	if what == "" {
		what = "the project"
	}
	var said []string
	few := false // runs: too few for a test
	for _, name := range caseNames(all) {
		low, high := math.Inf(1), 0.0
		for _, s := range all {
			// What may be chance is nothing to boast of.
			ratio, ok := s.Ratio[Wall]
			if s.platform.Emulator != nil && s.platform.Emulator.Kind == "native" {
				continue // the kernel ran it: no emulation
			}
			if ok && s.Case == name && (ratio.Significant == nil || *ratio.Significant) {
				few = few || ratio.Significant == nil
				low, high = min(low, ratio.Ratio), max(high, ratio.Ratio)
			}
		}
		if high == 0 {
			continue
		}
		span := times(low, "")
		if upper := times(high, ""); upper != span {
			span += " to " + upper
		}
		said = append(said, fmt.Sprintf("**%s times** as long %s", span, caseWords(name)))
	}
	if !slices.ContainsFunc(all, func(s Summary) bool { return len(s.Ratio) > 0 }) {
		return append(lines, "No platform was built on both sides, so there is nothing to compare.")
	}
	if len(said) == 0 {
		return append(lines, "No difference was found between native and emulated builds of "+what+": see the table for what was measured.")
	}
	caveat := ""
	if few {
		caveat = " These are medians of too few runs for a test of significance."
	}
	lines = append(lines, fmt.Sprintf("Compared with native cross-compilation, an emulated build of %s takes %s.%s", what, strings.Join(said, ", and "), caveat))
	return append(lines, sameSentence(all))
}

// caseNames are the cases that were measured, in order.
func caseNames(all []Summary) []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s.Case] {
			seen[s.Case] = true
			names = append(names, s.Case)
		}
	}
	return names
}

func caseWords(name string) string {
	switch name {
	case Cold:
		return "with an empty build cache"
	case Warm:
		return "after a change of one line"
	}
	return "in the case " + md(name)
}

// sameSentence says whether what was measured is two ways to one result.
func sameSentence(all []Summary) string {
	same, different, unknown := compared(all)
	switch {
	case different > 0:
		return fmt.Sprintf("**The binaries of both sides differ** in %d of %d cases: see below.", different, same+different)
	case same == 0:
		return "The binaries of both sides were not compared."
	case unknown > 0:
		return fmt.Sprintf("Where both sides were built (%s), their binaries are the same, byte for byte.", plural(same, "case"))
	}
	return "The binaries of both sides are the same, byte for byte."
}

// compared counts the cases by what came of comparing their binaries. The
// host's own aren't in it: there is nothing to compare.
func compared(all []Summary) (same, different, unknown int) {
	for _, s := range all {
		switch {
		case s.legs.Same == nil && s.platform.Host:
		case s.legs.Same == nil:
			unknown++
		case *s.legs.Same:
			same++
		default:
			different++
		}
	}
	return same, different, unknown
}

func timeTable(b *strings.Builder, all []Summary) {
	b.WriteString("| platform | case | native | emulated | emulated / native | same binaries |\n| --- | --- | ---: | ---: | ---: | --- |\n")
	for _, s := range all {
		cells := []string{platformCell(s), md(s.Case), mdCell(s, Native), mdCell(s, Emulated), s.ratioCell(Wall, "×"), s.same()}
		if r, ok := s.Ratio[Wall]; ok && r.Bounds != nil {
			cells[4] += fmt.Sprintf(" (%s to %s)", times(r.Bounds.Low, ""), times(r.Bounds.High, ""))
		}
		if cells[5] == "NO" {
			cells[5] = "**no**"
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	b.WriteString("\n")
}

func platformCell(s Summary) string {
	if s.platform.Host {
		return md(s.Platform) + " (the host)"
	}
	return md(s.Platform)
}

func mdCell(s Summary, side string) string {
	return strings.ReplaceAll(s.cell(side), "*", `\*`)
}

// problems lists what went wrong, if something did.
func (r Report) problems(b *strings.Builder, all []Summary) {
	var items []string
	for _, s := range all {
		at := "**" + md(s.Platform) + " " + md(s.Case)
		if s.legs.Same != nil && !*s.legs.Same {
			items = append(items, at+"**: the binaries differ: "+md(short(s.legs.Difference, 1000)))
		}
		for side, leg := range s.legs.sides() {
			if leg.Failure != "" {
				items = append(items, fmt.Sprintf("%s %s** (%s): %s", at, side, plural(len(leg.Runs), "run"), md(short(leg.Failure, 1000))))
			}
		}
	}
	for _, m := range r.missing() {
		items = append(items, "**"+md(m.platforms)+"**: not emulated: "+md(short(m.why, 1000)))
	}
	if len(items) == 0 {
		return
	}
	b.WriteString("## Not as wanted\n\n")
	for _, item := range items {
		b.WriteString("- " + item + "\n")
	}
	b.WriteString("\n")
}

// perRelease puts the times into a maintainer's terms.
func (r Report) perRelease(b *strings.Builder) {
	sum, ok := r.release()
	if !ok {
		return
	}
	b.WriteString("## Minutes of CI per release\n\n")
	fmt.Fprintf(b, "Building %s for a release (%s), one after the other on this machine and each from an empty build cache, takes:\n\n",
		plural(len(sum.platforms), "platform"), md(strings.Join(sum.platforms, ", ")))
	b.WriteString("| | native | emulated | saved |\n| --- | ---: | ---: | ---: |\n")
	row := func(name string, native, emulated float64) {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, minutes(native), minutes(emulated), minutes(emulated-native))
	}
	row("a release", sum.native.wall, sum.emulated.wall)
	if sum.native.cpu > 0 {
		row("its processor time", sum.native.cpu, sum.emulated.cpu)
	}
	row("10 releases", 10*sum.native.wall, 10*sum.emulated.wall)
	row("100 releases", 100*sum.native.wall, 100*sum.emulated.wall)
	b.WriteString("\nThese are sums of the medians above. They count compiling and linking, with the host's own platform built natively on both sides; " +
		"not starting runners, downloading modules, tests, assembling or pushing images, nor what builders in containers add.")
	if len(sum.left) > 0 {
		fmt.Fprintf(b, " Left out, because not measured on both sides: %s.", md(strings.Join(sum.left, ", ")))
	}
	b.WriteString("\n\n")
}

func resourceTable(b *strings.Builder, all []Summary) {
	var rows strings.Builder
	for _, s := range all {
		for _, m := range metrics[1:] {
			native, emulated := s.Native[m], s.Emulated[m]
			if native.N+emulated.N == 0 {
				continue
			}
			cell := func(e Estimate) string {
				if e.N == 0 {
					return ""
				}
				return strings.TrimSpace(m.format(e.Median) + " " + e.spread())
			}
			fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s | %s |\n", platformCell(s), md(s.Case), m, cell(native), cell(emulated), s.ratioCell(m, "×"))
		}
	}
	if rows.Len() == 0 {
		return
	}
	b.WriteString("## Processor time and memory\n\n| platform | case | | native | emulated | emulated / native |\n| --- | --- | --- | ---: | ---: | ---: |\n" + rows.String() + "\n")
}

// noise lists the runs that are flagged.
func (r Report) noise(b *strings.Builder) {
	var items []string
	runs, known := 0, 0
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			for side, leg := range c.sides() {
				for i, run := range leg.Runs {
					runs++
					if run.Noise != nil {
						known++
					}
					if len(run.Noisy) > 0 {
						items = append(items, fmt.Sprintf("- %s %s %s, run %d of %d (%s): %s\n", md(p.Platform), md(c.Name), side, i+1, len(leg.Runs),
							seconds(run.Wall), md(strings.Join(run.Noisy, ", "))))
					}
				}
			}
		}
	}
	if runs == 0 {
		return
	}
	b.WriteString("## Noise\n\n")
	switch {
	case known == 0 && len(items) == 0:
		b.WriteString("The system says nothing of what else ran, so no run could be flagged.\n\n")
	case len(items) == 0:
		fmt.Fprintf(b, "None of the %s was disturbed enough to be flagged.\n\n", plural(runs, "run"))
	default:
		fmt.Fprintf(b, "Flagged, but counted: %d of %s (\\* above).\n\n%s\n", len(items), plural(runs, "run"), strings.Join(items, ""))
	}
}

// md makes a text one line of Markdown that reads as it is written: what would
// be markup becomes a character reference.
func md(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if strings.ContainsRune("&<>|`*[]\\~#", r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
