package report

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// units are the metrics' names in bench.txt: those that golang.org/x/benchmarks
// uses for the same. benchstat turns ns into sec, and knows that bytes are
// scaled by 1024.
var units = []struct {
	metric  Metric
	written string
	tidied  string // as benchstat shows it, and people may write it
	scale   float64
}{
	{Wall, "ns/op", "sec/op", 1e9},
	{CPU, "user+sys-ns/op", "user+sys-sec/op", 1e9},
	{PSS, "peak-PSS-bytes", "peak-PSS-bytes", 1},
	{MaxRSS, "peak-RSS-bytes", "peak-RSS-bytes", 1},
}

// noisyMark begins the line before a run that is flagged.
const noisyMark = "# the next one is noisy: "

// Text is bench.txt: each run as a result in the Go benchmark format
// (https://go.dev/design/14313-benchmark-format). Lines that begin with # are
// for people, and benchstat ignores them.
func (r Report) Text() []byte {
	var b bytes.Buffer
	b.WriteString("# Medians: benchstat bench.txt. Emulated against native: benchstat -col /side bench.txt.\n" +
		"# Over time: benchstat OLD NEW; -ignore go,cpu and the like where the setups differ.\n")
	for _, f := range r.facts() {
		fmt.Fprintf(&b, "# %s: %s\n", f.Key, f.Value)
	}
	for _, s := range r.setup() {
		fmt.Fprintf(&b, "%s: %s\n", s.Key, s.Value)
	}
	b.WriteString("\n")
	for _, u := range units {
		fmt.Fprintf(&b, "Unit %s better=lower assume=nothing\n", u.written)
	}
	for at, leg := range r.legs() {
		if leg.Failure != "" {
			fmt.Fprintf(&b, "# %s: %s\n", at, clean(leg.Failure))
		}
		for _, run := range leg.Runs {
			if len(run.Noisy) > 0 {
				fmt.Fprintf(&b, "%s%s\n", noisyMark, clean(strings.Join(run.Noisy, ", ")))
			}
			fmt.Fprintf(&b, "Benchmark%s 1", benchName(at.platform, at.name, at.side))
			for _, u := range units {
				if v := math.Round(u.metric.value(run) * u.scale); v > 0 {
					fmt.Fprintf(&b, " %s %s", strconv.FormatFloat(v, 'f', -1, 64), u.written)
				}
			}
			b.WriteString("\n")
		}
	}
	return b.Bytes()
}

// setting is a part of what a build's time depends on besides the project: two
// measurements whose settings differ say little of each other.
type setting struct{ Key, Value string }

// known are the settings that have a value, fit for a line.
func known(all []setting) []setting {
	for i := range all {
		all[i].Value = clean(all[i].Value)
	}
	return slices.DeleteFunc(all, func(s setting) bool { return s.Value == "" })
}

// setup are the settings that bench.txt has as configuration, by the names
// that the Go benchmark format knows where there is one. benchstat keeps
// measurements of different setups apart, so the commit, the version and the
// dates, which differ each time, aren't among them.
func (r Report) setup() []setting {
	system, arch, _ := strings.Cut(r.Host.Platform, "/")
	return known([]setting{
		{"goos", system}, {"goarch", arch}, {"pkg", r.Module},
		{"cpu", r.Host.CPU}, {"cores", positive(r.Host.Cores)}, {"gomaxprocs", positive(r.Procs)},
		{"go", r.Go.Version}, {"goflags", r.Go.Flags}, {"goexperiment", r.Go.Experiment}, {"gofips140", r.Go.FIPS140},
		{"emulator", r.emulation()}, {"flags", strings.Join(r.Flags, " ")}, {"binaries", strings.Join(r.Binaries, " ")},
	})
}

// facts are what identifies a measurement, and what belongs to its host but
// hardly matters to builds.
func (r Report) facts() []setting {
	return known([]setting{
		{"version", r.Version}, {"commit", r.commit()}, {"start", moment(r.Start)}, {"end", moment(r.End)},
		{"host", r.Host.Platform}, {"kernel", r.Host.Kernel}, {"virtual", r.Host.Virtual}, {"memory", amount(r.Host.Memory)},
		{"partial", r.Partial},
	})
}

func (r Report) commit() string {
	if r.Dirty && r.Revision != "" {
		return r.Revision + " with uncommitted changes"
	}
	return r.Revision
}

// shortCommit keeps of a commit what tells it from others, and what is said
// behind it.
func shortCommit(commit string) string {
	hash, rest, _ := strings.Cut(commit, " ")
	return strings.TrimSpace(fmt.Sprintf("%.12s %s", hash, rest))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// emulation is how foreign programs were run, each way once.
func (r Report) emulation() string {
	var all []string
	for _, p := range r.Platforms {
		if p.Emulator != nil {
			all = append(all, p.Emulator.String())
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// String says what emulates and how it is called.
func (e Emulator) String() string {
	if e.Kind == "native" {
		return "the host's kernel"
	}
	name := path.Base(e.Path)
	if e.Path == "" || strings.HasPrefix(name, "qemu-") {
		name = "QEMU" // the rest of its name is the architecture
	}
	how := map[string]string{"binfmt": "through binfmt_misc", "direct": "called directly"}[e.Kind]
	return clean(name + " " + e.Version + " " + how)
}

// benchName names a leg so that benchstat can sort and filter by its parts.
func benchName(platform, name, side string) string {
	return fmt.Sprintf("Build/platform=%s/case=%s/side=%s", escape(platform), escape(name), escape(side))
}

// escape makes a platform part of a benchmark's name, which slashes separate
// and white space ends. What platforms are made of (letters, digits, slashes,
// dots) stays readable.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			b.WriteByte('_')
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
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
