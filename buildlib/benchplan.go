package buildlib

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/containerd/platforms"
)

// defaultBudget applies if neither Runs nor Budget are set.
const defaultBudget = 30 * time.Minute

// bench plans what the benchmark measures.
func (r *resolver) bench(binaries []binary) {
	b, over := r.project.Bench, r.overrides.Bench
	plan := &r.plan.BenchPlan
	plan.Runs, plan.Budget = cmp.Or(over.Runs, b.Runs), cmp.Or(over.Budget, b.Budget)
	plan.Baseline, plan.Tolerance = cmp.Or(over.Baseline, b.Baseline), cmp.Or(over.Tolerance, b.Tolerance)
	if plan.Runs < 0 {
		r.mistake("Bench.Runs", "%d is negative", plan.Runs)
	}
	if plan.Budget < 0 {
		r.mistake("Bench.Budget", "%s is negative", plan.Budget)
	}
	if plan.Tolerance < 0 || math.IsNaN(plan.Tolerance) || math.IsInf(plan.Tolerance, 0) {
		r.mistake("Bench.Tolerance", "%v is not a percentage", plan.Tolerance)
	}
	if plan.Tolerance > 0 && plan.Baseline == "" {
		r.mistake("Bench.Tolerance", "%v%% of what? Name the file to compare with in Bench.Baseline or Overrides.Bench.Baseline", plan.Tolerance)
	}
	if plan.Baseline != "" {
		plan.Baseline = absolute(r.plan.Dir, plan.Baseline)
	}
	if plan.Budget == 0 && plan.Runs == 0 {
		plan.Budget = defaultBudget
	}

	names := r.benchBinaries(b.Binaries, binaries)
	var wanted []binary
	for _, b := range binaries {
		if slices.Contains(names, b.Name) {
			wanted = append(wanted, b)
		}
	}
	var only []Platform
	// Overrides.Platforms replace the Project's choice.
	if b.Platforms != nil && r.overrides.Platforms == nil {
		only = append([]Platform{}, r.parsePlatforms("Bench.Platforms", b.Platforms)...)
		for i, p := range only {
			if !r.unsure && !slices.Contains(r.order(binaries), p) {
				r.mistake(fmt.Sprintf("Bench.Platforms[%d]", i), "%s is not one of the project's platforms (%s)", p, join(r.order(binaries)))
			}
		}
	}
	host, err := parsePlatform(platforms.Format(platforms.Normalize(platforms.DefaultSpec())), r.ports)
	if err != nil {
		return // go can't build for the host, so there is no reference
	}
	for _, p := range r.order(binaries) {
		native := p.OS == host.OS && p.Architecture == host.Architecture
		if only != nil && !native && !slices.Contains(only, p) {
			continue
		}
		on := binariesFor(wanted, p)
		if len(on) == 0 {
			continue
		}
		list := &plan.Platforms
		if native {
			list = &plan.Host
		}
		*list = append(*list, BenchPlatform{Platform: p.String(), Compiles: r.calls(p, on)})
	}
	if len(plan.Host) == 0 && len(wanted) > 0 {
		// The project isn't built for the host. The others are compared with what that
		// build would take, with one binary of each name.
		var distinct []binary
		for _, b := range wanted {
			if !slices.ContainsFunc(distinct, func(o binary) bool { return o.Name == b.Name }) {
				distinct = append(distinct, b)
			}
		}
		plan.Host = []BenchPlatform{{Platform: host.String(), Reference: true, Compiles: r.calls(host, distinct)}}
	}
	r.benchUnmeasured(binaries, names)
}

// benchUnmeasured lists the platforms and binaries that are not measured.
func (r *resolver) benchUnmeasured(binaries []binary, names []string) {
	plan := &r.plan.BenchPlan
	measured := func(name string) bool {
		is := func(bp BenchPlatform) bool { return bp.Platform == name && !bp.Reference }
		return slices.ContainsFunc(plan.Host, is) || slices.ContainsFunc(plan.Platforms, is)
	}
	all := r.order(binaries)
	if r.overrides.Platforms != nil {
		for _, name := range first(r.project.Platforms, defaultPlatforms) {
			p, err := parsePlatform(name, r.ports)
			if err == nil && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	for _, p := range all {
		if !measured(p.String()) {
			plan.Unmeasured = append(plan.Unmeasured, p.String())
		}
	}
	for _, b := range binaries {
		if !slices.Contains(names, b.Name) {
			plan.Unmeasured = append(plan.Unmeasured, b.Name)
		}
	}
}

// benchBinaries are the names of the binaries to measure.
func (r *resolver) benchBinaries(only []string, binaries []binary) []string {
	built := map[string]bool{} // those that Overrides don't leave out
	for _, c := range r.plan.Compiles {
		for _, m := range c.Mains {
			built[m.Binary] = true
		}
	}
	var all, names []string
	for _, b := range binaries {
		all = append(all, b.Name)
		// The emulated toolchains have no C compiler.
		if built[b.Name] && !b.build.CGO.on() && (only == nil || slices.Contains(only, b.Name)) {
			names = append(names, b.Name)
		}
	}
	for i, name := range only {
		if !slices.Contains(all, name) && !r.unsure {
			r.mistake(fmt.Sprintf("Bench.Binaries[%d]", i), "there is no binary %q%s", name, didYouMean(name, all))
		}
	}
	return names
}
