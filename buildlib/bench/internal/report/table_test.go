package report

import (
	"strings"
	"testing"
)

// What the figures can't say is said below them.
func TestTableNotes(t *testing.T) {
	chance := complete(6)
	chance.Platforms[1].Cases[0].Emulated = runs(6, 20.1, 300e6, 500e6)
	uneven := complete(6)
	uneven.Platforms[1].Cases[0].Emulated.Runs = uneven.Platforms[1].Cases[0].Emulated.Runs[:5]
	for name, tt := range map[string]struct {
		report Report
		notes  string // all below the rows
	}{
		"complete": {complete(6), ""},
		"one":      {complete(1), "1 run of each leg: too few for an interval of the median (6) or a test of the\n  difference (4)\n"},
		"four":     {complete(4), "4 runs of each leg: too few for an interval of the median (6)\n"},
		"uneven":   {uneven, "as few as 5 runs of a leg: too few for an interval of the median (6)\n"},
		"chance":   {chance, "~ a difference that may be chance\n"},
		"empty":    {base(), "nothing was measured\n"},
	} {
		got := tt.report.Table()
		rows := 1
		for _, p := range tt.report.Platforms {
			rows += len(p.Cases)
		}
		lines := strings.SplitAfter(got, "\n")
		if notes := strings.Join(lines[rows:], ""); notes != tt.notes {
			t.Errorf("%s: the notes are\n%s\nwant\n%s", name, notes, tt.notes)
		}
		if shown := strings.Contains(strings.Join(lines[:rows], ""), "~"); shown != (name == "chance") {
			t.Errorf("%s: a ratio that may be chance is shown as such: %v", name, shown)
		}
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("x", 78)
	for in, want := range map[string]string{
		"":                     "\n",
		"short":                "short\n",
		"one " + long + " two": "one\n  " + long + "\n  two\n",
		"a " + long + " b":     "a " + long + "\n  b\n",
		" spaces \n are one ":  "spaces are one\n",
	} {
		if got := wrap(in); got != want {
			t.Errorf("wrap(%q) = %q, want %q", in, got, want)
		}
	}
}
