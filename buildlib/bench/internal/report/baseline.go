package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Record is what of a measurement can be compared with another: that of a
// Report, or of a file that was kept.
type Record struct {
	Name string // what it is called in errors and warnings
	// About says which version was measured and when; empty if unknown.
	About string

	setup  map[string][]string // by setting, each value once, sorted
	series map[place]map[Metric][]float64
	legs   []place // those of series, in order
	noisy  int     // runs that are flagged
}

func (rec *Record) add(at place, m Metric, v float64) {
	if rec.series[at] == nil {
		rec.series[at] = map[Metric][]float64{}
		rec.legs = append(rec.legs, at)
	}
	rec.series[at][m] = append(rec.series[at][m], v)
}

// Record is the report as something to compare: what bench.txt has of it, to the
// nanosecond and byte, so that a kept file is as good as the report itself.
func (r Report) Record(name string) *Record {
	rec, err := parseText("bench.txt", r.Text())
	if err != nil {
		panic("report: " + err.Error()) // Text wrote what parseText doesn't read: a mistake of ours
	}
	rec.Name = name
	return rec
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
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		r, err := ParseJSON(path, data)
		if err != nil {
			return nil, err
		}
		data = r.Text()
	}
	rec, err := parseText(path, data)
	if err != nil {
		return nil, err
	}
	if len(rec.legs) == 0 {
		return nil, fmt.Errorf("%s: it has no measurements (want a bench.json, or a bench.txt with Benchmark%s results)",
			path, benchName("PLATFORM", "CASE", "SIDE"))
	}
	rec.Name = filepath.Base(path)
	return rec, nil
}

// parseText reads the Go benchmark format. What isn't ours in it is left out,
// as are lines that the format doesn't know; what is ours has to be whole,
// because a file that was cut off would pass for one with fewer runs.
func parseText(file string, data []byte) (*Record, error) {
	rec := &Record{setup: map[string][]string{}, series: map[place]map[Metric][]float64{}}
	config, facts := map[string]string{}, map[string]string{}
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimRight(text, "\r\n")
		if result, ok := strings.CutPrefix(text, "Benchmark"); ok {
			if err := rec.parseResult(result, config); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, line, err)
			}
		} else if strings.HasPrefix(text, noisyMark) {
			rec.noisy++
		} else if comment, ok := strings.CutPrefix(text, "# "); ok {
			// Of several measurements, the first one's facts count.
			if key, value, ok := strings.Cut(comment, ": "); ok && facts[key] == "" {
				facts[key] = clean(value)
			}
		} else if key, value, ok := configuration(text); ok {
			config[key] = value
		}
	}
	commit := shortCommit(facts["commit"])
	if commit != "" {
		commit = "commit " + commit
	}
	rec.About = joined(", ", facts["version"], commit, facts["start"])
	return rec, nil
}

// maxprocs is what the testing package puts after a benchmark's name.
var maxprocs = regexp.MustCompile(`-[0-9]+$`)

// parseResult adds what stands after "Benchmark": a name, how often it ran, and
// pairs of a value and its unit. A name alone is what go test -v prints when a
// benchmark begins: no result.
func (rec *Record) parseResult(text string, config map[string]string) error {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0 || fields[0] == text:
		return nil
	case len(fields) == 1:
		return fmt.Errorf("missing iteration count")
	case len(fields) == 2:
		return fmt.Errorf("missing measurements")
	case len(fields)%2 == 1:
		return fmt.Errorf("missing units")
	}
	if _, err := strconv.Atoi(fields[1]); err != nil {
		return fmt.Errorf("parsing iteration count: %w", err.(*strconv.NumError).Err)
	}
	at, ours, err := parseName(maxprocs.ReplaceAllString(fields[0], ""))
	if err != nil {
		return err
	}
	whole := false
	for pair := range slices.Chunk(fields[2:], 2) {
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return fmt.Errorf("parsing measurement: %w", err.(*strconv.NumError).Err)
		}
		for _, u := range units {
			scaled := v
			switch {
			case !ours:
				continue
			case pair[1] == u.tidied: // also the written one, where they are equal
			case pair[1] == u.written:
				scaled /= u.scale
			default:
				continue
			}
			if !(scaled < tooMuch && math.Round(scaled*u.scale) > 0) {
				return fmt.Errorf("%s: no build takes %g %s", at, v, pair[1])
			}
			whole = whole || u.metric == Wall
			rec.add(at, u.metric, math.Round(scaled*u.scale)/u.scale)
		}
	}
	switch {
	case !ours:
		return nil
	case !whole:
		return fmt.Errorf("%s: it has no ns/op: the line is not whole", at)
	}
	for key, value := range config {
		value = clean(value)
		if i, found := slices.BinarySearch(rec.setup[key], value); !found && value != "" {
			rec.setup[key] = slices.Insert(rec.setup[key], i, value)
		}
	}
	return nil
}

// parseName reads the name of a result. ok is false if it isn't one of ours.
func parseName(name string) (at place, ok bool, err error) {
	parts, ours := strings.CutPrefix(name, "Build/")
	for part := range strings.SplitSeq(parts, "/") {
		key, value, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.ReplaceAll(value, "_", "/"))
		if err != nil && ours {
			return place{}, false, fmt.Errorf("/%s: %w", part, err)
		}
		switch key {
		case "platform":
			at.platform = clean(value)
		case "case":
			at.name = clean(value)
		case "side":
			at.side = clean(value)
		}
	}
	return at, ours && at.platform != "" && at.name != "" && at.side != "", nil
}

// configuration reads a line "key: value". A key begins with a lower case
// letter and has neither upper case nor white space; without a value it holds
// no more.
func configuration(text string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(text, ":")
	first, _ := utf8.DecodeRuneInString(key)
	if !ok || !unicode.IsLower(first) || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsUpper(r) }) {
		return "", "", false
	}
	trimmed := strings.TrimLeft(value, " \t")
	return key, trimmed, value == "" || trimmed != value
}
