package report

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"
)

// The colours of the sides, which differ in brightness too, for those who see
// no difference of hue. They have contrast on white and on black.
const (
	nativeColor   = "#1a7fd4"
	emulatedColor = "#d9822b"
)

// Measures of the chart, in pixels.
const (
	chartWidth = 840
	margin     = 24
	barHeight  = 15
	barGap     = 3
	groupGap   = 14
	valueWidth = 150 // what a value beside its bar may take
	labelRunes = 26
	labelWidth = 7.8                   // of a rune of the labels, about
	textWidth  = chartWidth - 2*margin // of a line
	titleSize  = 16                    // of the letters
	quietSize  = 12
)

// picture is chart.svg laid out: every position is known, and all texts are
// clean. The template escapes them.
type picture struct {
	Width, Height int
	Title         string
	Subtitles     []string
	Description   string
	Metadata      []string // what the times depend on, in full
	Native        string   // colours
	Emulated      string
	Panels        []panel
}

// panel is one case: bars on a scale of its own, from 0.
type panel struct {
	Title       string
	X, Y        int // of the title
	Top, Bottom int // of the plot
	Ticks       []tick
	Groups      []group
}

type tick struct {
	X    float64
	Text string
}

// group is a platform's bars.
type group struct {
	Label string
	Full  string // the label before it was shortened
	X, Y  float64
	Bars  []bar
}

// bar is one side of one case, or the words that stand where it would be.
type bar struct {
	Class        string // native, emulated
	X, Y, Width  float64
	Height       float64
	Words        string // instead of a bar
	Value, Ratio string
	ValueX       float64
	TextY        float64
	Whisker      bool
	Low, High    float64 // x of the whisker's ends
	Middle       float64 // its y
	CapTop       float64
	CapBottom    float64
	Tip          string
}

// Chart is chart.svg: per case a panel, per platform the native beside the
// emulated time. The scale is linear and begins at 0, because how much longer
// the one bar is than the other is what the picture says. Whiskers are the
// medians' intervals, where there are any. Its background is its own, so that
// it can be read on any page, light or dark as the viewer prefers.
func (r Report) Chart() []byte {
	p := r.layout()
	var b bytes.Buffer
	if err := chartTemplate.Execute(&b, p); err != nil {
		panic(fmt.Sprintf("report: chart: %v", err)) // the template doesn't fit the picture: a mistake of ours
	}
	return b.Bytes()
}

func (r Report) layout() picture {
	all := r.Summaries()
	p := picture{Width: chartWidth, Native: nativeColor, Emulated: emulatedColor, Title: "Build time: native against emulated"}
	if module := clean(r.Module); module != "" {
		p.Title = titleOf(module)
	}
	p.Subtitles = []string{
		within(strings.Join(nonEmpty(day(r), r.Version, prefixed("commit ", shortCommit(r.commit())), r.Go.Version, strings.Join(r.Flags, " ")), " · "), textWidth, quietSize, false),
		within(strings.Join(nonEmpty(r.Host.Platform, r.Host.CPU, r.Host.processors(), r.emulation()), " · "), textWidth, quietSize, false),
		"Medians in seconds" + intervalWords(all) + ". Less is better." + sameWords(all),
	}
	if slices.ContainsFunc(all, func(s Summary) bool { return s.NoisyNative+s.NoisyEmulated > 0 }) {
		p.Subtitles = append(p.Subtitles, "* Something else disturbed some of these runs.")
	}
	if r.Partial != "" {
		p.Subtitles = append(p.Subtitles, within("Partial: "+r.Partial, textWidth, quietSize, false))
	}
	left := 0
	for _, s := range all {
		left = max(left, utf8.RuneCountInString(short(s.Platform, labelRunes)))
	}
	plotLeft := float64(margin) + float64(left)*labelWidth + 12
	y := 40 + 18*len(p.Subtitles) + 12
	for _, name := range caseNames(all) {
		var of []Summary
		for _, s := range all {
			if s.Case == name {
				of = append(of, s)
			}
		}
		panel, next := newPanel(name, of, plotLeft, y)
		p.Panels = append(p.Panels, panel)
		y = next
	}
	if len(p.Panels) == 0 {
		p.Subtitles = append(p.Subtitles, "Nothing was measured.")
		y += 18
	}
	p.Height = y + 8
	p.Description = describe(all)
	for _, s := range append(r.facts(), r.setup()...) {
		p.Metadata = append(p.Metadata, s.key+": "+s.value)
	}
	return p
}

// titleOf is the title with as much of a module's end as has room: it tells
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

// pixels is how wide text is at most, about: no reader of the file has the same
// fonts, so it is that of DejaVu Sans, the widest of the usual ones.
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

// within is clean of s, cut to so many pixels.
func within(s string, most, size float64, bold bool) string {
	s = clean(s)
	for n := utf8.RuneCountInString(s); pixels(s, size, bold) > most; n-- {
		s = short(s, n-1)
	}
	return s
}

func day(r Report) string {
	if r.Start.IsZero() {
		return ""
	}
	return r.Start.UTC().Format("2006-01-02")
}

func intervalWords(all []Summary) string {
	for _, s := range all {
		if s.Native[Wall].Interval != nil || s.Emulated[Wall].Interval != nil {
			return ", whiskers are their 95 % intervals"
		}
	}
	return ""
}

// sameWords says of the binaries what can be said without an explanation.
func sameWords(all []Summary) string {
	switch same, different, _ := compared(all); {
	case different > 0:
		return " Some binaries of the two sides differ."
	case same > 0:
		return " Both sides' binaries are the same, byte for byte."
	}
	return ""
}

// newPanel lays out a case below y, and returns where the next one begins.
func newPanel(name string, all []Summary, left float64, y int) (panel, int) {
	title := map[string]string{Cold: "Empty build cache (cold)", Warm: "One line changed (warm)"}[name]
	if title == "" {
		title = short(name, 60)
	}
	p := panel{Title: title, X: margin, Y: y + 14, Top: y + 26}
	highest := 0.0
	for _, s := range all {
		for _, e := range []Estimate{s.Native[Wall], s.Emulated[Wall]} {
			highest = max(highest, e.Median)
			if e.Interval != nil {
				highest = max(highest, e.Interval.High)
			}
		}
	}
	right := float64(chartWidth - margin - valueWidth)
	scale := func(v float64) float64 { return left }
	if highest > 0 {
		scale = func(v float64) float64 { return round(left + v/highest*(right-left)) }
		step := niceStep(highest)
		for i := 0; float64(i)*step <= highest*1.0001; i++ {
			v := float64(i) * step
			p.Ticks = append(p.Ticks, tick{scale(v), tickText(v, step)})
		}
	}
	at := float64(p.Top) + groupGap/2
	for _, s := range all {
		g := group{Label: short(s.Platform, labelRunes), Full: clean(s.Platform), X: left - 10}
		top := at
		sides := []string{Native, Emulated}
		if s.platform.Host {
			sides = sides[:1]
		}
		for _, side := range sides {
			g.Bars = append(g.Bars, newBar(s, side, left, at, scale))
			at += barHeight + barGap
		}
		at -= barGap
		g.Y = round((top+at)/2 + 4.5)
		at += groupGap
		p.Groups = append(p.Groups, g)
	}
	p.Bottom = int(at) - groupGap/2
	return p, p.Bottom + 40
}

func newBar(s Summary, side string, left, y float64, scale func(float64) float64) bar {
	b := bar{Class: side, X: left, Y: y, Height: barHeight, Middle: y + barHeight/2.0, CapTop: y + 4, CapBottom: y + barHeight - 4, TextY: y + barHeight - 3.5}
	estimates, leg, noisy := s.Native, s.legs.Native, s.NoisyNative
	if side == Emulated {
		estimates, leg, noisy = s.Emulated, s.legs.Emulated, s.NoisyEmulated
	}
	e := estimates[Wall]
	if e.N == 0 {
		b.ValueX = left + 6
		switch {
		case leg != nil && leg.Failure != "":
			b.Words = within(side+": "+leg.Failure, chartWidth-margin-b.ValueX, quietSize, false)
		case side == Emulated && s.platform.Missing != "":
			b.Words = within("not emulated: "+s.platform.Missing, chartWidth-margin-b.ValueX, quietSize, false)
		default:
			b.Words = side + ": not measured"
		}
		return b
	}
	end := scale(e.Median)
	b.Width = round(max(end-left, 1))
	b.Value = seconds(e.Median)
	b.Tip = fmt.Sprintf("%s %s %s: %s, %s", clean(s.Platform), clean(s.Case), side, strings.TrimSpace(b.Value+" "+e.spread()), plural(e.N, "run"))
	if noisy > 0 {
		b.Value += "*"
		b.Tip += fmt.Sprintf(", %d of them noisy", noisy)
	}
	if side == Emulated {
		if cell := s.ratioCell(Wall, "×"); cell != "" && cell != "~" {
			b.Ratio = cell
		}
	}
	if e.Interval != nil {
		b.Whisker, b.Low, b.High = true, scale(e.Interval.Low), scale(e.Interval.High)
		end = max(end, b.High)
	}
	b.ValueX = end + 7
	return b
}

// describe is the chart for those who can't see it.
func describe(all []Summary) string {
	var said []string
	for _, s := range all {
		text := clean(s.Platform + " " + s.Case + ":")
		if e, ok := s.Native[Wall]; ok {
			text += " native " + seconds(e.Median)
		}
		if e, ok := s.Emulated[Wall]; ok {
			text += ", emulated " + seconds(e.Median)
		}
		said = append(said, strings.TrimSuffix(text, ":")+".")
	}
	return strings.Join(said, " ")
}

// niceStep is a distance of ticks that people count in, for at most six of them
// up to highest.
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

// niceCeiling is the first tick that isn't below highest.
func niceCeiling(highest float64) float64 {
	if highest <= 0 {
		return 1
	}
	step := niceStep(highest)
	return math.Round(math.Ceil(highest/step)*step*1e6) / 1e6
}

func tickText(v, step float64) string {
	decimals := 0
	if step < 1 {
		decimals = int(math.Ceil(-math.Log10(step)))
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// round keeps the file short: a hundredth of a pixel is enough.
func round(v float64) float64 { return math.Round(v*100) / 100 }

// chartTemplate says what the picture looks like. All texts go through html,
// which escapes what XML needs escaped.
var chartTemplate = template.Must(template.New("chart.svg").Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-labelledby="title desc">
<title id="title">{{html .Title}}</title>
<desc id="desc">{{html .Description}}</desc>
<metadata>{{range .Metadata}}
{{html .}}{{end}}
</metadata>
<style>
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328; }
  .page { fill: #ffffff; stroke: #d0d7de; }
  .title { font-size: 16px; font-weight: 600; }
  .panel { font-weight: 600; }
  .quiet, .tick { font-size: 12px; fill: #59636e; }
  .tick { text-anchor: middle; }
  .platform { text-anchor: end; }
  .ratio { font-weight: 700; }
  .grid { stroke: #e4e8ec; }
  .native { fill: {{.Native}}; }
  .emulated { fill: {{.Emulated}}; }
  .whisker { stroke: #1f2328; stroke-width: 1.5; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .page { fill: #0d1117; stroke: #3d444d; }
    .quiet, .tick { fill: #9198a1; }
    .grid { stroke: #262c36; }
    .whisker { stroke: #f0f6fc; }
  }
</style>
<rect class="page" x="0.5" y="0.5" width="{{.InnerWidth}}" height="{{.InnerHeight}}" rx="6"/>
<text class="title" x="24" y="34">{{html .Title}}</text>
{{range $i, $line := .Subtitles}}<text class="quiet" x="24" y="{{$.SubtitleY $i}}">{{html $line}}</text>
{{end}}{{if .Panels}}<g class="legend"><rect class="native" x="{{.LegendX 0}}" y="{{.LegendY}}" width="12" height="12"/><text x="{{.LegendX 18}}" y="{{.LegendTextY}}">native</text><rect class="emulated" x="{{.LegendX 72}}" y="{{.LegendY}}" width="12" height="12"/><text x="{{.LegendX 90}}" y="{{.LegendTextY}}">emulated</text></g>
{{end}}{{range $panel := .Panels}}<g>
<text class="panel" x="{{.X}}" y="{{.Y}}">{{html .Title}}</text>
{{range .Ticks}}<path class="grid" d="M{{.X}} {{$panel.Top}}V{{$panel.Bottom}}"/><text class="tick" x="{{.X}}" y="{{$panel.TickY}}">{{.Text}}</text>
{{end}}{{range .Groups}}<text class="platform" x="{{.X}}" y="{{.Y}}">{{html .Label}}{{if ne .Label .Full}}<title>{{html .Full}}</title>{{end}}</text>
{{range .Bars}}{{if .Words}}<text class="quiet" x="{{.ValueX}}" y="{{.TextY}}">{{html .Words}}</text>
{{else}}<rect class="{{.Class}}" x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="{{.Height}}"><title>{{html .Tip}}</title></rect>{{if .Whisker}}<path class="whisker" d="M{{.Low}} {{.Middle}}H{{.High}}M{{.Low}} {{.CapTop}}V{{.CapBottom}}M{{.High}} {{.CapTop}}V{{.CapBottom}}"/>{{end}}<text x="{{.ValueX}}" y="{{.TextY}}">{{.Value}}{{with .Ratio}} <tspan class="ratio" dx="6">{{.}}</tspan>{{end}}</text>
{{end}}{{end}}{{end}}</g>
{{end}}</svg>
`))

// InnerWidth and InnerHeight leave half the edge's width free on each side.
func (p picture) InnerWidth() int  { return p.Width - 1 }
func (p picture) InnerHeight() int { return p.Height - 1 }

// SubtitleY is the base line of the i-th line below the title.
func (p picture) SubtitleY(i int) int { return 56 + 18*i }

// The legend is at the right of the first panel's title.
func (p picture) LegendX(x int) int { return p.Width - margin - 155 + x }
func (p picture) LegendY() int      { return p.Panels[0].Y - 11 }
func (p picture) LegendTextY() int  { return p.Panels[0].Y }

// TickY is the base line of the ticks' numbers.
func (p panel) TickY() int { return p.Bottom + 16 }
