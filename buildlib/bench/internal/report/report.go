// Package report turns measurements of native and emulated builds into what
// people and programs read: a table, a report, a chart, bench.json, and bench.txt
// in the Go benchmark format. It also compares them with those of an earlier run.
//
// Its files: format.go formats figures; report.go holds the measurements, metric.go,
// statistics.go and totals.go compute from them; json.go, text.go, table.go, chart.go
// and markdown.go make the outputs, with template.go; baseline.go reads an earlier
// measurement, compare.go compares with it, and write.go writes all files.
// The *.tmpl files are the templates of report.md and chart.svg.
//
// It measures nothing and reads no clock, so equal measurements give equal files.
// The statistics are benchstat's, by go-moremath: the median, its 95 % interval, and
// the Mann-Whitney U test, none of which assumes a distribution.
package report

import (
	"iter"
	"time"

	"github.com/multimage/multimage/buildlib/bench/internal/measure"
)

// Format is the version of bench.json that this package writes.
const Format = 1

// Report is the measurements of one benchmark. bench.json has the same fields.
type Report struct {
	Format   int          `json:"format"` // Format; set by JSON
	Start    time.Time    `json:"start"`
	End      time.Time    `json:"end"`
	Module   string       `json:"module"`
	Version  string       `json:"version"`            // of the project
	Revision string       `json:"revision,omitempty"` // the commit; empty without git
	Dirty    bool         `json:"dirty,omitempty"`
	Host     measure.Host `json:"host"`
	Go       Go           `json:"go"`
	Procs    int          `json:"procs"` // GOMAXPROCS of both sides' builds
	// Binaries are the names of what each run builds.
	Binaries []string `json:"binaries"`
	// Flags are the arguments of go build on both sides, without -o and the packages.
	Flags []string `json:"flags,omitempty"`
	// Runs is how many runs of each leg were wanted. Zero: the first run, which
	// decides, didn't end.
	Runs int `json:"runs,omitempty"`
	// Budget is the time limit for everything, in seconds. Zero: no limit.
	Budget float64 `json:"budget,omitempty"`
	// Partial says why less was measured than wanted: "interrupted", "the budget of
	// 10m0s ended in run 2". Empty: all was measured.
	Partial string `json:"partial,omitempty"`
	// Unmeasured are the platforms and binaries of the project that were excluded.
	Unmeasured []string   `json:"left,omitempty"`
	Platforms  []Platform `json:"platforms"` // in the project's order
}

// Go is the toolchain that built natively. The emulated one has the same version.
type Go struct {
	Version string `json:"version"`         // like go1.26.8
	Flags   string `json:"flags,omitempty"` // GOFLAGS in effect
	// Experiment and FIPS140 are GOEXPERIMENT and GOFIPS140 in effect.
	Experiment string `json:"experiment,omitempty"`
	FIPS140    string `json:"fips140,omitempty"`
}

// Platform is what was measured for one target platform.
type Platform struct {
	Platform string `json:"platform"` // OS/ARCH[/VARIANT]
	// Host is set for the host's own platform, which needs no emulation and so has
	// native legs only.
	Host bool `json:"host,omitempty"`
	// Reference is set if the project isn't built for this platform, the host's, so
	// that no release contains it.
	Reference bool `json:"reference,omitempty"`
	// Emulator is what ran the emulated legs; nil if there are none.
	Emulator *Emulator `json:"emulator,omitempty"`
	// Toolchain is where the foreign Go toolchain came from, for people.
	Toolchain string `json:"toolchain,omitempty"`
	// Missing says why nothing was emulated, and what to do about it. Empty: there
	// was emulation, or this is the host's platform.
	Missing string `json:"missing,omitempty"`
	Cases   []Case `json:"cases"`
}

// Emulator is how programs of a foreign platform run on the host.
type Emulator struct {
	Kind    string `json:"kind"` // binfmt, direct, native
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"` // like 7.2.22
}

// The names of cases.
const (
	Cold = "cold" // the build cache is empty
	Warm = "warm" // it is full, and one line of each main package changed
)

// Case is a kind of build, done on both sides.
type Case struct {
	Name string `json:"name"` // Cold, Warm
	// Native and Emulated are nil if that side wasn't begun.
	Native   *Leg `json:"native,omitempty"`
	Emulated *Leg `json:"emulated,omitempty"`
	// Same says whether both sides' binaries are equal byte for byte. Nil:
	// they weren't compared.
	Same *bool `json:"same,omitempty"`
	// Difference says what differs, if something does.
	Difference string `json:"difference,omitempty"`
}

// The sides of a case.
const (
	Native   = "native"
	Emulated = "emulated"
)

// sides are the legs that were begun, by their sides' names.
func (c Case) sides() iter.Seq2[string, *Leg] {
	return func(yield func(string, *Leg) bool) {
		if c.Native != nil && !yield(Native, c.Native) {
			return
		}
		if c.Emulated != nil {
			yield(Emulated, c.Emulated)
		}
	}
}

// place identifies a leg.
type place struct{ platform, name, side string }

func (p place) String() string { return p.platform + " " + p.name + " " + p.side }

// legs are the legs that were begun, in order.
func (r Report) legs() iter.Seq2[place, *Leg] {
	return func(yield func(place, *Leg) bool) {
		for _, p := range r.Platforms {
			for _, c := range p.Cases {
				for side, leg := range c.sides() {
					if !yield(place{clean(p.Platform), clean(c.Name), side}, leg) {
						return
					}
				}
			}
		}
	}
}

// Leg is the runs of one side of a case.
type Leg struct {
	Runs []measure.Usage `json:"runs"` // those that succeeded, in order of time
	// Failure says why there are no (more) runs, for example that the build crashed.
	// Empty: nothing went wrong.
	Failure string `json:"failure,omitempty"`
}
