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

// Record is a measurement to be compared with another: of a Report, or of a kept file.
type Record struct {
	Name string // what it is called in errors and warnings
	// About says which version was measured and when; empty if unknown.
	About string

	setup  map[string][]string // by setting, each value once, sorted
	series map[place]map[Metric][]float64
	legs   []place // the keys of series, in order
	noisy  int     // runs that are flagged
}

func (rec *Record) add(at place, m Metric, v float64) {
	if rec.series[at] == nil {
		rec.series[at] = map[Metric][]float64{}
		rec.legs = append(rec.legs, at)
	}
	rec.series[at][m] = append(rec.series[at][m], v)
}

// Record is the report as bench.txt has it, to the nanosecond and byte, so that a kept
// file compares like the report itself.
func (r Report) Record(name string) *Record {
	rec, err := parseText("bench.txt", r.Text())
	if err != nil {
		panic("report: " + err.Error()) // Text and parseText don't fit together
	}
	rec.Name = name
	return rec
}

// maxBaseline bounds a baseline's file, in bytes: 100,000 runs.
const maxBaseline = 32 << 20

// Read reads a bench.json or a bench.txt, whatever its name: one that Write wrote, or
// results in the Go benchmark format that people have put together from several. Errors
// name the file, and the line if there is one.
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
		return nil, fmt.Errorf("baseline %s: more than %s: it is not a bench.json or bench.txt", path, size(maxBaseline))
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

// parseText reads the Go benchmark format. It ignores other benchmarks, and lines that
// the format doesn't know. Our results have to be complete: otherwise a truncated file
// would pass for one with fewer runs.
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
			// The first of several measurements counts.
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

// parseResult adds a result, without "Benchmark": a name, how often it ran, and pairs of
// a value and its unit. A name alone isn't a result: go test -v prints it when a
// benchmark begins.
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
			case pair[1] == u.tidied: // perhaps the same as written
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
		return fmt.Errorf("%s: it has no ns/op: the line is not complete", at)
	}
	for key, value := range config {
		value = clean(value)
		if i, found := slices.BinarySearch(rec.setup[key], value); !found && value != "" {
			rec.setup[key] = slices.Insert(rec.setup[key], i, value)
		}
	}
	return nil
}

// parseName parses the name of a result. ok is false if the result isn't ours.
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

// configuration parses a line "key: value". A key begins with a lower case letter and
// has neither upper case nor white space; an empty value unsets it.
func configuration(text string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(text, ":")
	first, _ := utf8.DecodeRuneInString(key)
	if !ok || !unicode.IsLower(first) || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsUpper(r) }) {
		return "", "", false
	}
	trimmed := strings.TrimLeft(value, " \t")
	return key, trimmed, value == "" || trimmed != value
}
