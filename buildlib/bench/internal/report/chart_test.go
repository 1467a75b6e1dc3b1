package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// drawn is what a reader of XML finds in a chart.
type drawn struct {
	bars     map[string][]float64 // widths by class
	whiskers int
	texts    []string
	title    string
	desc     string
	metadata string
}

func draw(t *testing.T, svg []byte) drawn {
	t.Helper()
	d := drawn{bars: map[string][]float64{}}
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	var path []string
	class := ""
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return d
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if token.Name.Space != "http://www.w3.org/2000/svg" {
				t.Fatalf("element %s of %q, not of SVG", token.Name.Local, token.Name.Space)
			}
			attrs := map[string]string{}
			for _, a := range token.Attr {
				attrs[a.Name.Local] = a.Value
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("%s has a %s", token.Name.Local, a.Name.Local)
				}
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s is at %s=%s", token.Name.Local, a.Name.Local, a.Value)
				}
			}
			class = attrs["class"]
			switch {
			case token.Name.Local == "rect" && (class == Native || class == Emulated) && attrs["width"] != "12":
				width, err := strconv.ParseFloat(attrs["width"], 64)
				if err != nil {
					t.Errorf("width: %v", err)
				}
				d.bars[class] = append(d.bars[class], width)
			case class == "whisker":
				d.whiskers++
			case token.Name.Local == "script" || token.Name.Local == "image" || token.Name.Local == "b":
				t.Errorf("there is a <%s>", token.Name.Local)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			text := strings.TrimSpace(string(token))
			switch at := strings.Join(path, " "); {
			case text == "":
			case at == "svg title":
				d.title = text
			case at == "svg desc":
				d.desc = text
			case at == "svg metadata":
				d.metadata = text
			case slices.Contains(path, "text") && path[len(path)-1] != "title":
				d.texts = append(d.texts, text)
			}
		}
	}
}

func TestChart(t *testing.T) {
	d := draw(t, complete(6).Chart())
	// Four platforms in two cases; the host's is native only.
	if len(d.bars[Native]) != 8 || len(d.bars[Emulated]) != 6 || d.whiskers != 14 {
		t.Fatalf("%d native bars, %d emulated ones, %d whiskers", len(d.bars[Native]), len(d.bars[Emulated]), d.whiskers)
	}
	// From zero on one scale: ten times the time is ten times the length.
	for i, factor := range []float64{10, 8, 12} {
		near100(t, d.bars[Emulated][i]/d.bars[Native][i+1], factor)
	}
	for i, factor := range []float64{5, 4, 6} {
		near100(t, d.bars[Emulated][3+i]/d.bars[Native][5+i], factor)
	}
	for _, want := range []string{"linux/arm/v7", "20.0 s", "200 s", "10.0×", "12.0×", "Empty build cache (cold)", "One line changed (warm)", "native", "emulated"} {
		if !slices.Contains(d.texts, want) {
			t.Errorf("nowhere it says %s: %q", want, d.texts)
		}
	}
	if !strings.Contains(d.title, "example.com/made-up") || !strings.Contains(d.desc, "linux/arm64 cold: native 20.0 s, emulated 200 s.") {
		t.Errorf("for those who can't see it: %q, %q", d.title, d.desc)
	}
	for _, want := range []string{"go: go1.26.8", "cores: 2", "emulator: QEMU 7.2.22 through binfmt_misc", "flags: -trimpath -buildvcs=false",
		"commit: 0123456789abcdef0123456789abcdef01234567", "start: 2026-01-02T12:00:00Z", "cpu: Made-up CPU @ 2.00GHz"} {
		if !strings.Contains(d.metadata, want) {
			t.Errorf("it doesn't record %s:\n%s", want, d.metadata)
		}
	}
	if !strings.Contains(string(complete(6).Chart()), "prefers-color-scheme: dark") {
		t.Error("there are no colours for the dark")
	}
}

func near100(t *testing.T, got, want float64) {
	t.Helper()
	if d := got/want - 1; d > 0.01 || d < -0.01 {
		t.Errorf("a bar is %.2f times as long, want %v", got, want)
	}
}

func TestChartOfTrouble(t *testing.T) {
	d := draw(t, troubled().Chart())
	if len(d.bars[Native]) != 8 || len(d.bars[Emulated]) != 3 {
		t.Errorf("%d native bars, %d emulated ones", len(d.bars[Native]), len(d.bars[Emulated]))
	}
	if d.whiskers > 0 {
		t.Errorf("%d whiskers of legs of three runs", d.whiskers)
	}
	all := strings.Join(d.texts, "\n")
	for _, want := range []string{"emulated: crashed under QEMU 7.2.22: signal: segmentation fault go: link failed", "not emulated: no qemu-riscv64 in PATH",
		"10.0 s*", "Something else disturbed", "Partial: the budget", "Some binaries of the two sides differ."} {
		if !strings.Contains(all, want) {
			t.Errorf("nowhere it says %s:\n%s", want, all)
		}
	}
}

// Names reach a reader of XML as they are, and don't become elements.
func TestChartOfOddNames(t *testing.T) {
	d := draw(t, odd().Chart())
	if !strings.Contains(d.title, `example.com/"odd" & <b>|`+"`x`") {
		t.Errorf("the title is %s", d.title)
	}
	if all := strings.Join(d.texts, "\n"); !strings.Contains(all, `li nux_2/<arm64>&"v9"|`) {
		t.Errorf("the platform is missing:\n%s", all)
	}
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) { draw(t, r.Chart()) })
	}
}

// No line runs over the right edge, and the module's end is what is left of it.
func TestChartLines(t *testing.T) {
	for module, want := range map[string]string{
		"example.com/made-up":                              "Build time of example.com/made-up, native against emulated",
		"github.com/multimage/multimage/examples/services": "Build time of …/multimage/examples/services, native against emulated",
		"example.com/" + strings.Repeat("W", 300):          "Build time of …/WWW",
		strings.Repeat("漢", 300):                           "Build time of 漢漢",
	} {
		r := troubled()
		r.Module, r.Partial, r.Host.CPU = module, strings.Repeat("W", 300), strings.Repeat("M/", 200)
		p := r.layout()
		if !strings.HasPrefix(p.Title, want) || pixels(p.Title, titleSize, true) > textWidth {
			t.Errorf("got %q, want %q", p.Title, want)
		}
		for _, line := range p.Subtitles {
			if pixels(line, quietSize, false) > textWidth {
				t.Errorf("too wide: %q", line)
			}
		}
	}
}

func TestNiceSteps(t *testing.T) {
	for highest, want := range map[float64]float64{0.03: 0.005, 0.9: 0.2, 1: 0.2, 6: 1, 7: 2, 24: 5, 60: 10, 252: 50, 1404: 500} {
		if got := niceStep(highest); got/want < 0.999 || got/want > 1.001 {
			t.Errorf("ticks up to %v are %v apart, want %v", highest, got, want)
		}
	}
	for highest, want := range map[float64]float64{0: 1, 0.9: 1, 236.4: 250, 250: 250} {
		if got := niceCeiling(highest); got != want {
			t.Errorf("an axis for %v ends at %v, want %v", highest, got, want)
		}
	}
}
