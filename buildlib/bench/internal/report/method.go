package report

import (
	"fmt"
	"strings"
)

// method says how this was measured, as far as it doesn't say so above.
func (r Report) method(b *strings.Builder, all []Summary) {
	b.WriteString("## Method\n\n" +
		"- *Native*: the host's Go cross-compiles. *Emulated*: the platform's own Go of the same version runs under emulation and builds for itself, " +
		"as a Dockerfile's builder stage does without `--platform=$BUILDPLATFORM`.\n" +
		"- Both sides get the same sources, flags, environment and GOMAXPROCS, and a build cache of their own. " +
		"Modules are downloaded before the clock starts. One build runs at a time, the sides in turns.\n" +
		"- Cold: the build cache is empty. Warm: it is full, and each main package has one line more.\n")
	fewest, most := 0, 0
	for _, s := range all {
		for _, leg := range s.legs.sides() {
			if n := len(leg.Runs); n > 0 {
				most = max(most, n)
				if fewest == 0 || n < fewest {
					fewest = n
				}
			}
		}
	}
	runs := plural(most, "run")
	if fewest != most {
		runs = fmt.Sprintf("%d to %d runs", fewest, most)
	}
	fmt.Fprintf(b, "- Values are medians of %s of a leg. ", runs)
	switch {
	case most < minInterval:
		fmt.Fprintf(b, "That is too few for an interval, so none is shown: it takes %d. ", minInterval)
	default:
		fmt.Fprintf(b, "± is the larger half of the median's 95 %% interval, where there are the %d runs that it takes. "+
			"A ratio's bounds are the quotients of the intervals' bounds that are farthest apart, so they are conservative. ", minInterval)
	}
	if most >= minTest {
		b.WriteString("~ stands for a difference that may be chance (Mann-Whitney U test, 5 %). ")
	}
	b.WriteString("Noisy runs are counted and marked, not left out.\n" +
		"- Processor time is of all processes of a build, user and system. Peak memory is the largest sum, over the process tree, of proportional set sizes that was sampled; " +
		"the largest process is the largest resident set of a single process.\n\n")
}

// setting is what the times depend on.
func (r Report) setting(b *strings.Builder) {
	b.WriteString("## Setup\n\n| | |\n| --- | --- |\n")
	row := func(name, value string) {
		if value = md(value); value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	row("module", strings.TrimSpace(r.Module+" "+r.Version))
	row("commit", r.commit())
	row("binaries", strings.Join(r.Binaries, ", "))
	row("host", strings.Join(nonEmpty(r.Host.Platform, r.Host.CPU, r.Host.processors(), r.memory(), r.Host.Kernel, r.Host.Virtual), ", "))
	row("Go", strings.Join(nonEmpty(r.Go.Version, prefixed("GOFLAGS=", r.Go.Flags), prefixed("GOEXPERIMENT=", r.Go.Experiment), prefixed("GOFIPS140=", r.Go.FIPS140)), ", "))
	row("GOMAXPROCS", number(r.Procs))
	if len(r.Flags) > 0 {
		row("flags of go build", strings.Join(r.Flags, " "))
	}
	for _, p := range r.Platforms {
		if e := p.Emulator; e != nil {
			row(md(p.Platform), strings.Join(nonEmpty(e.String(), e.Path, p.Toolchain), ", "))
		}
	}
	row("measured", strings.Join(nonEmpty(moment(r.Start), moment(r.End)), " to "))
	if r.Budget > 0 {
		row("time budget", minutes(r.Budget))
	}
	b.WriteString("\n")
}

// processors counts them. Empty: unknown.
func (h Host) processors() string {
	if h.Cores == 0 {
		return ""
	}
	return plural(h.Cores, "processor")
}

func (r Report) memory() string { return prefixed(amount(r.Host.Memory), " of memory") }

// prefixed is both, or nothing if one is empty.
func prefixed(prefix, s string) string {
	if prefix == "" || s == "" {
		return ""
	}
	return prefix + s
}

func nonEmpty(words ...string) []string {
	var kept []string
	for _, w := range words {
		if clean(w) != "" {
			kept = append(kept, w)
		}
	}
	return kept
}
