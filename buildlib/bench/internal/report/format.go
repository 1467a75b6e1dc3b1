package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// seconds prints a duration in one unit, so that two can be compared by eye.
func seconds(v float64) string {
	if v > 0 && v < 0.0995 {
		return threeDigits(v*1000) + " ms"
	}
	return threeDigits(v) + " s"
}

// size prints bytes in decimal units.
func size(v float64) string {
	switch {
	case v < 999.5e3:
		return threeDigits(v/1e3) + " kB"
	case v < 999.5e6:
		return threeDigits(v/1e6) + " MB"
	}
	return threeDigits(v/1e9) + " GB"
}

// times prints a ratio.
func times(v float64, sign string) string {
	if v >= 0.05 && v < 9.95 {
		return fmt.Sprintf("%.1f%s", v, sign)
	}
	return threeDigits(v) + sign
}

// threeDigits prints three significant digits without an exponent.
func threeDigits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// clean makes names and other programs' output a single line without control sequences
// of terminals, or bytes that XML refuses.
func clean(s string) string {
	s = controls.ReplaceAllString(s, "")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// controls are the sequences that colour a compiler's output (ECMA-48, CSI).
var controls = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]")

// short is s, cleaned and cut to at most n runes.
func short(s string, n int) string {
	runes := []rune(clean(s))
	if len(runes) <= n {
		return string(runes)
	}
	return strings.TrimSpace(string(runes[:max(0, n-1)])) + "…"
}

// plural is a number and what it counts.
func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", what)
	}
	return fmt.Sprint(n, " ", what, "s")
}

// count is plural; empty if n is 0, which stands for unknown.
func count(n int, what string) string {
	if n == 0 {
		return ""
	}
	return plural(n, what)
}

// positive is a number; empty if it is 0, which stands for unknown.
func positive(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// amount is size; empty if it is 0, which stands for unknown.
func amount(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return size(float64(bytes))
}

// joined joins the words that aren't empty.
func joined(sep string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return clean(s) == "" }), sep)
}
