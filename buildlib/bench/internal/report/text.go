package report

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"
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
	tidied  string // as benchstat shows it, and as people may write it
	scale   float64
}{
	{Wall, "ns/op", "sec/op", 1e9},
	{CPU, "user+sys-ns/op", "user+sys-sec/op", 1e9},
	{PSS, "peak-PSS-bytes", "peak-PSS-bytes", 1},
	{MaxRSS, "peak-RSS-bytes", "peak-RSS-bytes", 1},
}

// noisyMark begins the line before a flagged run.
const noisyMark = "# the next one is noisy: "

// Text is bench.txt: each run as a result in the Go benchmark format
// (https://go.dev/design/14313-benchmark-format). Lines that begin with # are for
// people; benchstat ignores them.
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

// setting is something besides the project that affects a build's time: measurements
// with different settings are hardly comparable.
type setting struct{ Key, Value string }

// known are the settings that have a value, each made a single line.
func known(all []setting) []setting {
	for i := range all {
		all[i].Value = clean(all[i].Value)
	}
	return slices.DeleteFunc(all, func(s setting) bool { return s.Value == "" })
}

// setup are the settings that bench.txt has as configuration, with the names of the Go
// benchmark format where it has one. benchstat keeps measurements of different setups
// apart, so the commit, the version and the dates aren't in it: they always differ.
func (r Report) setup() []setting {
	system, arch, _ := strings.Cut(r.Host.Platform, "/")
	return known([]setting{
		{"goos", system}, {"goarch", arch}, {"pkg", r.Module},
		{"cpu", r.Host.CPU}, {"cores", positive(r.Host.Cores)}, {"gomaxprocs", positive(r.Procs)},
		{"go", r.Go.Version}, {"goflags", r.Go.Flags}, {"goexperiment", r.Go.Experiment}, {"gofips140", r.Go.FIPS140},
		{"emulator", r.emulation()}, {"flags", strings.Join(r.Flags, " ")}, {"binaries", strings.Join(r.Binaries, " ")},
	})
}

// facts identify a measurement, and describe what of its host hardly matters to builds.
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

// shortCommit shortens a commit's hash, and keeps the words after it.
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

// emulation lists the ways in which foreign programs were run.
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

// String names the emulator, and how it is called.
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

// benchName is the name of a leg's results. benchstat can sort and filter by its parts.
func benchName(platform, name, side string) string {
	return fmt.Sprintf("Build/platform=%s/case=%s/side=%s", escape(platform), escape(name), escape(side))
}

// escape makes s a part of a benchmark's name, in which slashes separate parts and white
// space ends the name. Letters, digits, dots, and slashes as _ stay readable.
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
