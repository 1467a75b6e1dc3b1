package report

import (
	"strings"
	"testing"
)

// Tables have as many cells in each row, code blocks end, and no name makes
// markup.
func TestMarkdownIsWhole(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			c, err := Compare(complete(1).Record("`bench`.json"), complete(1).Record("this run"), 5)
			if err != nil {
				t.Fatal(err)
			}
			code, cells := false, 0
			for line := range strings.Lines(string(r.Markdown(c))) {
				line = strings.TrimSuffix(line, "\n")
				if strings.HasPrefix(line, "```") {
					code = !code
					continue
				}
				if code {
					continue
				}
				if strings.ContainsAny(line, "<>") && !strings.HasPrefix(line, "> ") {
					t.Errorf("HTML gets through: %s", line)
				}
				if n := strings.Count(line, "|"); !strings.HasPrefix(line, "|") {
					cells = 0
				} else if cells == 0 {
					cells = n
				} else if n != cells {
					t.Errorf("a row of %d cells in a table of %d: %s", n-1, cells-1, line)
				}
			}
			if code {
				t.Error("a code block doesn't end")
			}
		})
	}
}

func TestHeadline(t *testing.T) {
	chance := complete(6)
	chance.Platforms = chance.Platforms[:2]
	chance.Platforms[1].Cases = chance.Platforms[1].Cases[:1]
	chance.Platforms[1].Cases[0].Emulated = runs(6, 20.1, 1, 1)
	partlySame := complete(1)
	partlySame.Platforms[2].Cases[0].Same = nil
	for _, tt := range []struct {
		name   string
		report Report
		want   []string
	}{
		{"complete", complete(6), []string{
			"Compared with native cross-compilation, an emulated build of server, agent takes **8.0 to 12.0 times** as long with an empty build cache, and **4.0 to 6.0 times** as long after a change of one line.",
			"The binaries of both sides are the same, byte for byte."}},
		{"trouble", troubled(), []string{"> **Partial:** the budget of 30m0s was used up.", "**10.0 times** as long with", "**The binaries of both sides differ** in 1 of 3 cases"}},
		{"nothing emulated", mac(), []string{"No platform was built on both sides, so there is nothing to compare."}},
		{"by chance", chance, []string{"No difference was found between native and emulated builds of server, agent"}},
		{"not all compared", partlySame, []string{"Where both sides were built (5 cases), their binaries are the same, byte for byte."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, _, _ := strings.Cut(string(tt.report.Markdown(nil)), "\n|")
			for _, want := range tt.want {
				if !strings.Contains(head, want) {
					t.Errorf("it doesn't say\n%s\nbut\n%s", want, head)
				}
			}
		})
	}
}

func TestRelease(t *testing.T) {
	// 20 s natively on 4 platforms; emulated 20 s on the host's own, and 200,
	// 160 and 240 s. Processor time is 1.75 times that.
	sum := complete(3).Release()
	if sum == nil || len(sum.Platforms) != 4 || len(sum.Missing) != 0 {
		t.Fatalf("%+v", sum)
	}
	near(t, "native", sum.native.wall, 80)
	near(t, "emulated", sum.emulated.wall, 620)
	near(t, "native processor time", sum.native.cpu, 140)
	near(t, "emulated processor time", sum.emulated.cpu, 1085)

	sum = troubled().Release()
	if sum == nil || strings.Join(sum.Platforms, " ") != "linux/amd64 linux/arm64" || strings.Join(sum.Missing, " ") != "linux/arm/v7 linux/riscv64" {
		t.Fatalf("a crash and a missing emulator: %+v", sum)
	}
	near(t, "emulated, of what was measured", sum.emulated.wall, 220)

	r := complete(1)
	r.Platforms[1].Cases[0].Native.Runs[0].User, r.Platforms[1].Cases[0].Native.Runs[0].System = 0, 0
	if sum := r.Release(); sum.native.cpu != 0 || sum.emulated.cpu != 0 {
		t.Errorf("a sum of processor times, one of which is unknown: %+v", sum)
	}
	if sum := mac().Release(); sum != nil {
		t.Errorf("minutes of emulation on a host without: %+v", sum)
	}
}

func TestNoise(t *testing.T) {
	for name, tt := range map[string]struct {
		report Report
		want   string
	}{
		"quiet":   {complete(3), "None of the 42 runs was disturbed enough to be flagged."},
		"unknown": {mac(), "The system says nothing of what else ran"},
		"noisy":   {troubled(), "- linux/arm64 warm emulated, run 2 of 3 (10.2 s): 12 % of the processors stolen, throttled for 3 s\n"},
	} {
		if got := string(tt.report.Markdown(nil)); !strings.Contains(got, tt.want) {
			t.Errorf("%s: it doesn't say %s:\n%s", name, tt.want, got)
		}
	}
	if got := troubled().Table(); !strings.Contains(got, "10.0 s*") || !strings.Contains(got, "1 of 31 runs") {
		t.Errorf("the table hides a noisy run:\n%s", got)
	}
}

func TestMarkdownEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"linux/arm/v7":             "linux/arm/v7",
		"a|b":                      "a&#124;b",
		"<script>&amp;":            "&#60;script&#62;&#38;amp;",
		"*x* `y` [z](u) ~~ \\ #12": "&#42;x&#42; &#96;y&#96; &#91;z&#93;(u) &#126;&#126; &#92; &#35;12",
		"two\nlines\r\n\tand\x00":  "two lines and",
		"\x1b[1;31mred\x1b[0m":     "red",
	} {
		if got := md(in); got != want {
			t.Errorf("md(%q) = %q, want %q", in, got, want)
		}
	}
}
