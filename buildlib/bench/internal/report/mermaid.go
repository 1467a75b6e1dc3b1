package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// mermaid draws the times of a case, a bar per leg. It is one series, whose
// labels tell the sides apart: Mermaid draws the bars of two series over each
// other, and what is to be empty in one of them as a stub.
func mermaid(b *strings.Builder, all []Summary, name string) {
	var labels, values []string
	var highest float64
	for _, s := range all {
		if s.Case != name {
			continue
		}
		for _, bar := range []struct {
			side string
			Estimate
		}{{Native, s.Native[Wall]}, {Emulated, s.Emulated[Wall]}} {
			if bar.N > 0 {
				labels = append(labels, quoted(short(s.Platform, 24)+" "+bar.side))
				values = append(values, decimal(bar.Median))
				highest = max(highest, bar.Median)
			}
		}
	}
	if len(labels) == 0 {
		return
	}
	fmt.Fprintf(b, "```mermaid\n---\nconfig:\n  xyChart:\n    height: %d\n    showDataLabel: true\n  themeVariables:\n    xyChart:\n      plotColorPalette: \"%s\"\n---\nxychart-beta horizontal\n",
		140+32*len(labels), nativeColor)
	title := map[string]string{Cold: "Empty build cache", Warm: "One line changed"}[name]
	if title == "" {
		title = short(name, 40)
	}
	fmt.Fprintf(b, "  title %s\n  x-axis [%s]\n  y-axis \"seconds\" 0 --> %s\n  bar [%s]\n```\n\n",
		quoted(title), strings.Join(labels, ", "), decimal(niceCeiling(highest)), strings.Join(values, ", "))
}

// quoted makes a text a string of Mermaid's, in a code block of Markdown's.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`"`, "'", "`", "'").Replace(s) + `"`
}

// decimal prints seconds for a program, to the millisecond.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}
