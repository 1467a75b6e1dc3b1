package report

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
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
		fmt.Fprintf(&b, "# %s: %s\n", f.key, f.value)
	}
	for _, s := range r.setup() {
		fmt.Fprintf(&b, "%s: %s\n", s.key, s.value)
	}
	b.WriteString("\n")
	for _, u := range units {
		fmt.Fprintf(&b, "Unit %s better=lower assume=nothing\n", u.written)
	}
	for _, p := range r.Platforms {
		for _, c := range p.Cases {
			for side, leg := range c.sides() {
				if leg.Failure != "" {
					fmt.Fprintf(&b, "# %s: %s\n", clean(p.Platform+" "+c.Name+" "+side), clean(leg.Failure))
				}
				for _, run := range leg.Runs {
					if len(run.Noisy) > 0 {
						fmt.Fprintf(&b, "%s%s\n", noisyMark, clean(strings.Join(run.Noisy, ", ")))
					}
					fmt.Fprintf(&b, "Benchmark%s 1", benchName(p.Platform, c.Name, side))
					for _, u := range units {
						if v := u.metric.of(run); v > 0 {
							fmt.Fprintf(&b, " %s %s", strconv.FormatFloat(math.Round(v*u.scale), 'f', -1, 64), u.written)
						}
					}
					b.WriteString("\n")
				}
			}
		}
	}
	return b.Bytes()
}

// facts are what identifies a measurement, and what belongs to its host but
// hardly matters to builds.
func (r Report) facts() []setting {
	all := []setting{
		{"version", r.Version},
		{"commit", r.commit()},
		{"start", moment(r.Start)},
		{"end", moment(r.End)},
		{"host", r.Host.Platform},
		{"kernel", r.Host.Kernel},
		{"virtual", r.Host.Virtual},
		{"memory", amount(r.Host.Memory)},
		{"partial", r.Partial},
	}
	var kept []setting
	for _, f := range all {
		if f.value = clean(f.value); f.value != "" {
			kept = append(kept, f)
		}
	}
	return kept
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

func amount(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return size(float64(bytes))
}

// benchBase is the name of our benchmarks.
const benchBase = "Build"

// benchName names a leg so that benchstat can sort and filter by its parts.
func benchName(platform, name, side string) string {
	return fmt.Sprintf("%s/platform=%s/case=%s/side=%s", benchBase, escape(platform), escape(name), escape(side))
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

func unescape(s string) (string, error) {
	return url.PathUnescape(strings.ReplaceAll(s, "_", "/"))
}

// leg is the place of a series of measurements.
type leg struct{ platform, name, side string }

func (l leg) String() string { return l.platform + " " + l.name + " " + l.side }

// legOf reads the name of a result. ok is false if it isn't one of ours.
func legOf(name string) (l leg, ok bool, err error) {
	base, rest, _ := strings.Cut(name, "/")
	if base != benchBase {
		return leg{}, false, nil
	}
	for part := range strings.SplitSeq(rest, "/") {
		key, value, _ := strings.Cut(part, "=")
		plain, err := unescape(value)
		if err != nil {
			return leg{}, false, fmt.Errorf("/%s: %w", part, err)
		}
		plain = clean(plain)
		switch key {
		case "platform":
			l.platform = plain
		case "case":
			l.name = plain
		case "side":
			l.side = plain
		}
	}
	if l.platform == "" || l.name == "" || l.side == "" {
		return leg{}, false, nil // somebody else's benchmark of that name
	}
	return l, true, nil
}
