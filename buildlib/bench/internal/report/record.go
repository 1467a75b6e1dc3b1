package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Record is what of a measurement can be compared with another: that of a
// Report, or of a file that was kept.
type Record struct {
	Name string // what it is called in errors and warnings
	// About says which version was measured and when; empty if unknown.
	About string

	setup  map[string][]string // by setting, each value once, sorted
	series map[leg]map[Metric][]float64
	legs   []leg // those of series, in order
	noisy  int   // runs that are flagged
}

func newRecord(name string) *Record {
	return &Record{Name: name, setup: map[string][]string{}, series: map[leg]map[Metric][]float64{}}
}

// add adds a run's value, to the nanosecond or byte: bench.txt has it no
// finer, and what is equal should be so for the test of significance too. It
// reports false for what that leaves nothing of.
func (rec *Record) add(l leg, m Metric, v float64) bool {
	scale := 1.0
	if m == Wall || m == CPU {
		scale = 1e9
	}
	if v = math.Round(v*scale) / scale; v == 0 {
		return false
	}
	if rec.series[l] == nil {
		rec.series[l] = map[Metric][]float64{}
		rec.legs = append(rec.legs, l)
	}
	rec.series[l][m] = append(rec.series[l][m], v)
	return true
}

// set notes a value of a setting.
func (rec *Record) set(key, value string) {
	if at, found := slices.BinarySearch(rec.setup[key], value); !found {
		rec.setup[key] = slices.Insert(rec.setup[key], at, value)
	}
}

// Record is the report as something to compare.
func (r Report) Record(name string) *Record {
	rec := newRecord(name)
	rec.About = about(r.facts())
	for _, s := range r.setup() {
		rec.set(s.key, s.value)
	}
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			for side, runs := range c.sides() {
				l := leg{clean(p.Platform), clean(c.Name), side}
				for _, m := range metrics {
					for _, v := range runs.values(m) {
						rec.add(l, m, v)
					}
				}
				rec.noisy += runs.noisy()
			}
		}
	}
	return rec
}

// about picks what tells one measurement of a project from another.
func about(facts []setting) string {
	var said []string
	for _, f := range facts {
		switch f.key {
		case "version":
			said = append(said, f.value)
		case "commit":
			said = append(said, "commit "+shortCommit(f.value))
		case "start":
			said = append(said, f.value)
		}
	}
	return strings.Join(said, ", ")
}

// maxBaseline bounds what is read of a baseline, in bytes: 100,000 runs.
const maxBaseline = 32 << 20

// Read reads a bench.json or a bench.txt, whatever its name: one that Write
// wrote, or results in the Go benchmark format that people put together of
// several. Errors name the file, and the line where there is one.
func Read(path string) (*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBaseline+1))
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	if len(data) > maxBaseline {
		return nil, fmt.Errorf("baseline %s: more than %s: it is something else", path, size(maxBaseline))
	}
	rec, err := parse(path, data)
	if err != nil {
		return nil, fmt.Errorf("baseline %w", err)
	}
	return rec, nil
}

func parse(path string, data []byte) (*Record, error) {
	var rec *Record
	if text := bytes.TrimSpace(data); len(text) > 0 && text[0] == '{' {
		r, err := ParseJSON(path, data)
		if err != nil {
			return nil, err
		}
		rec = r.Record(filepath.Base(path))
	} else {
		var err error
		if rec, err = parseText(path, data); err != nil {
			return nil, err
		}
	}
	if len(rec.legs) == 0 {
		return nil, fmt.Errorf("%s: it has no measurements (want a bench.json, or a bench.txt with Benchmark%s results)",
			path, benchName("PLATFORM", "CASE", "SIDE"))
	}
	return rec, nil
}

// parseText reads the Go benchmark format. What isn't ours in it is left out;
// what is ours has to be whole, because a file that was cut off would pass for
// one with fewer runs.
func parseText(path string, data []byte) (*Record, error) {
	rec := newRecord(filepath.Base(path))
	rec.About = about(writtenFacts(data))
	rec.noisy = bytes.Count(data, []byte("\n"+noisyMark))
	all, err := results(path, data)
	if err != nil {
		return nil, err
	}
	for _, res := range all {
		l, ours, err := legOf(res.name)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, res.line, err)
		}
		if !ours {
			continue
		}
		if err := rec.addResult(l, res); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, res.line, l, err)
		}
	}
	return rec, nil
}

func (rec *Record) addResult(l leg, res result) error {
	whole := false
	for _, v := range res.values {
		for _, u := range units {
			number := v.number
			switch v.unit {
			case u.tidied: // also the written one, where they are equal
			case u.written:
				number /= u.scale
			default:
				continue
			}
			if !(number > 0 && number < tooMuch) || !rec.add(l, u.metric, number) {
				return fmt.Errorf("no build takes %g %s", v.number, v.unit)
			}
			whole = whole || u.metric == Wall
		}
	}
	if !whole {
		return fmt.Errorf("it has no ns/op: the line is not whole")
	}
	for _, key := range slices.Sorted(maps.Keys(res.config)) {
		rec.set(key, clean(res.config[key]))
	}
	return nil
}

// writtenFacts are the facts in the comments of a bench.txt, of its first
// measurement if it holds several.
func writtenFacts(data []byte) []setting {
	var all []setting
	seen := map[string]bool{}
	for line := range bytes.Lines(data) {
		text, comment := strings.CutPrefix(string(line), "# ")
		key, value, ok := strings.Cut(text, ": ")
		if comment && ok && !seen[key] {
			seen[key] = true
			all = append(all, setting{key, clean(value)})
		}
	}
	return all
}
