package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Dimensions of the chart, in pixels. Those that only the template needs are there.
const (
	chartWidth = 840
	margin     = 24
	barHeight  = 15
	barGap     = 3
	groupGap   = 14
	valueWidth = 150 // room for a value beside its bar
	labelRunes = 26
	labelWidth = 7.8                   // of a label's rune, about
	textWidth  = chartWidth - 2*margin // of a line
	titleSize  = 16                    // of the font
	quietSize  = 12
)

// picture is the layout of chart.svg. All texts are clean; the template escapes them.
type picture struct {
	Height      int
	Title       string
	Subtitles   []string
	Description string   // for those who can't see it
	Metadata    []string // all that the times depend on
	Panels      []panel
}

// panel is one case: bars on its own scale, which begins at 0.
type panel struct {
	Title     string
	Y, Bottom int // of the title, and of the plot
	Ticks     []tick
	Groups    []group
}

type tick struct {
	X    float64
	Text string
}

// group is a platform's bars. Full is the whole label.
type group struct {
	Label, Full string
	X, Y        float64
	Bars        []bar
}

// bar is one side of one case, or the words in its place.
type bar struct {
	Side              string
	X, Y, Width       float64
	Words             string // instead of a bar
	Value, Ratio, Tip string
	ValueX            float64
	Low, High         float64 // x of the whisker's ends; zero: none
}

// Chart is chart.svg: a panel for each case, and in it the native beside the emulated
// time of each platform. The scale is linear and begins at 0, so that the lengths of
// bars can be compared. Whiskers are the medians' intervals, if there are any. It has a
// background, so that it is readable on any page, light or dark as the viewer prefers.
func (r Report) Chart() []byte { return execute("chart.svg.tmpl", r.layout()) }

// SubtitleY is the base line of the i-th line below the title.
func (p picture) SubtitleY(i int) int { return 56 + 18*i }

func (r Report) layout() picture {
	all, t := r.Summaries(), r.totals()
	p := picture{Title: "Build time: native against emulated"}
	if module := clean(r.Module); module != "" {
		p.Title = titleOf(module)
	}
	commit, day := r.commit(), ""
	if commit != "" {
		commit = "commit " + shortCommit(commit)
	}
	if !r.Start.IsZero() {
		day = r.Start.UTC().Format("2006-01-02")
	}
	medians := "Medians in seconds"
	if slices.ContainsFunc(all, func(s Summary) bool { return s.Native[Wall].Interval != nil || s.Emulated[Wall].Interval != nil }) {
		medians += ", whiskers are their 95 % intervals"
	}
	medians += ". Less is better."
	switch same, different, _ := compared(all); {
	case different > 0:
		medians += " Some binaries of the two sides differ."
	case same > 0:
		medians += " Both sides' binaries are the same, byte for byte."
	}
	p.Subtitles = []string{
		joined(" · ", day, r.Version, commit, r.Go.Version, strings.Join(r.Flags, " ")),
		joined(" · ", r.Host.Platform, r.Host.CPU, count(r.Host.Cores, "processor"), r.emulation()),
		medians,
	}
	if len(t.Flagged) > 0 {
		p.Subtitles = append(p.Subtitles, "* Something else disturbed some of these runs.")
	}
	if r.Partial != "" {
		p.Subtitles = append(p.Subtitles, "Partial: "+r.Partial)
	}
	if len(all) == 0 {
		p.Subtitles = append(p.Subtitles, "Nothing was measured.")
	}
	labels := 0
	for _, s := range all {
		labels = max(labels, utf8.RuneCountInString(short(s.Platform, labelRunes)))
		text := clean(s.Platform + " " + s.Case + ":")
		if e, ok := s.Native[Wall]; ok {
			text += " native " + seconds(e.Median)
		}
		if e, ok := s.Emulated[Wall]; ok {
			text += ", emulated " + seconds(e.Median)
		}
		p.Description = strings.TrimSpace(p.Description + " " + strings.TrimSuffix(text, ":") + ".")
	}
	for i, line := range p.Subtitles {
		if line != medians { // whose length is known
			p.Subtitles[i] = within(line, textWidth, quietSize, false)
		}
	}
	p.Height = 52 + 18*len(p.Subtitles)
	for _, name := range caseNames(all) {
		of := slices.DeleteFunc(slices.Clone(all), func(s Summary) bool { return s.Case != name })
		panel := newPanel(name, of, margin+float64(labels)*labelWidth+12, p.Height+14)
		p.Panels = append(p.Panels, panel)
		p.Height = panel.Bottom + 40
	}
	p.Height += 8
	for _, s := range append(r.facts(), r.setup()...) {
		p.Metadata = append(p.Metadata, s.Key+": "+s.Value)
	}
	return p
}

// titleOf is the title with as much of a module's path as fits, from its end, which tells
// modules apart.
func titleOf(module string) string {
	for cut := module; ; {
		if title := "Build time of " + cut + ", native against emulated"; pixels(title, titleSize, true) <= textWidth {
			return title
		}
		_, rest, ok := strings.Cut(strings.TrimPrefix(cut, "…/"), "/")
		if !ok {
			return within("Build time of "+cut, textWidth, titleSize, true)
		}
		cut = "…/" + rest
	}
}

// pixels is roughly how wide text is at most. Fonts differ from reader to reader, so it is
// the width in DejaVu Sans, the widest of the usual ones.
func pixels(text string, size float64, bold bool) float64 {
	em := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijl.,:;'|!()[]/ ·", r):
			em += 0.37
		case strings.ContainsRune("mwMW@%…", r):
			em += 1
		case r > 0x2000:
			em += 1.1
		case 'A' <= r && r <= 'Z':
			em += 0.72
		default:
			em += 0.64
		}
	}
	if bold {
		em *= 1.1
	}
	return em * size
}

// within is s, cleaned and cut to a width in pixels.
func within(s string, limit, size float64, bold bool) string {
	s = clean(s)
	for n := utf8.RuneCountInString(s); pixels(s, size, bold) > limit; n-- {
		s = short(s, n-1)
	}
	return s
}

// newPanel lays out a case whose title is at y and whose bars begin at x = left.
func newPanel(name string, all []Summary, left float64, y int) panel {
	title := map[string]string{Cold: "Empty build cache (cold)", Warm: "One line changed (warm)"}[name]
	p := panel{Title: title, Y: y}
	if title == "" {
		p.Title = short(name, 60)
	}
	highest := 0.0
	for _, s := range all {
		for _, e := range []Estimate{s.Native[Wall], s.Emulated[Wall]} {
			highest = max(highest, e.Median)
			if e.Interval != nil {
				highest = max(highest, e.Interval.High)
			}
		}
	}
	scale := func(v float64) float64 { return round(left + v/highest*(chartWidth-margin-valueWidth-left)) }
	if highest > 0 {
		step := niceStep(highest)
		decimals := max(0, int(math.Ceil(-math.Log10(step))))
		for i := 0; float64(i)*step <= highest*1.0001; i++ {
			v := float64(i) * step
			p.Ticks = append(p.Ticks, tick{scale(v), fmt.Sprintf("%.*f", decimals, v)})
		}
	}
	at := float64(y) + 12 + groupGap/2
	for _, s := range all {
		g := group{Label: short(s.Platform, labelRunes), Full: clean(s.Platform), X: left - 10}
		top := at
		for _, side := range []string{Native, Emulated} {
			if side == Native || !s.platform.Host {
				g.Bars = append(g.Bars, newBar(s, side, left, at, scale))
				at += barHeight + barGap
			}
		}
		g.Y = round((top+at-barGap)/2 + 4.5)
		at += groupGap - barGap
		p.Groups = append(p.Groups, g)
	}
	p.Bottom = int(at) - groupGap/2
	return p
}

func newBar(s Summary, side string, left, y float64, scale func(float64) float64) bar {
	b := bar{Side: side, X: left, Y: y, ValueX: left + 6}
	estimates, leg := s.side(side)
	e := estimates[Wall]
	if e.N == 0 {
		switch {
		case leg != nil && leg.Failure != "":
			b.Words = side + ": " + leg.Failure
		case side == Emulated && s.platform.Missing != "":
			b.Words = "not emulated: " + s.platform.Missing
		default:
			b.Words = side + ": not measured"
		}
		b.Words = within(b.Words, chartWidth-margin-b.ValueX, quietSize, false)
		return b
	}
	end := scale(e.Median)
	b.Width = round(max(end-left, 1))
	b.Value = seconds(e.Median)
	b.Tip = fmt.Sprintf("%s %s %s: %s, %s", clean(s.Platform), clean(s.Case), side, s.Value(side, Wall), plural(e.N, "run"))
	if noisy := leg.noisy(); noisy > 0 {
		b.Value += "*"
		b.Tip += fmt.Sprintf(", %d of them noisy", noisy)
	}
	if cell := s.RatioCell(Wall, "×"); side == Emulated && cell != "~" {
		b.Ratio = cell
	}
	if e.Interval != nil {
		b.Low, b.High = scale(e.Interval.Low), scale(e.Interval.High)
		end = max(end, b.High)
	}
	b.ValueX = end + 7
	return b
}

// niceStep is a round distance (1, 2 or 5) between ticks, for at most six up to highest.
func niceStep(highest float64) float64 {
	raw := highest / 6
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, factor := range []float64{1, 2, 5} {
		if raw <= factor*power {
			return factor * power
		}
	}
	return 10 * power
}

// niceCeiling is the first tick at or above highest.
func niceCeiling(highest float64) float64 {
	if highest <= 0 {
		return 1
	}
	step := niceStep(highest)
	return math.Round(math.Ceil(highest/step)*step*1e6) / 1e6
}

// round rounds to a hundredth of a pixel, to keep the file short.
func round(v float64) float64 { return math.Round(v*100) / 100 }
