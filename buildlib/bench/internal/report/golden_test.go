package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

// What people read is looked at as it is: run with -update, then read the
// difference.
func TestGolden(t *testing.T) {
	for name, r := range fixtures() {
		t.Run(name, func(t *testing.T) {
			for file, got := range map[string][]byte{
				"table.txt": []byte(r.Table()), "report.md": r.Markdown(nil), "chart.svg": r.Chart(), "bench.txt": r.Text(),
			} {
				path := filepath.Join("testdata", name, file)
				if *update {
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s isn't as before (-update writes it):\n%s", path, got)
				}
			}
		})
	}
}

func TestTableFits(t *testing.T) {
	for name, r := range fixtures() {
		for line := range strings.Lines(r.Table()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && name != "odd" {
				t.Errorf("%s: %d columns, more than a terminal's 80: %s", name, n, line)
			}
			if strings.ContainsAny(line, "\x1b\r") {
				t.Errorf("%s: a line controls the terminal: %q", name, line)
			}
		}
	}
}
