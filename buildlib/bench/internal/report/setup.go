package report

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// setting is a part of what a build's time depends on besides the project: two
// measurements whose settings differ say little of each other.
type setting struct{ key, value string }

// setup are the settings that bench.txt has as configuration, by the names
// that the Go benchmark format knows where there is one. benchstat keeps
// measurements of different setups apart, so the commit, the version and the
// dates, which differ each time, aren't among them.
func (r Report) setup() []setting {
	system, arch, _ := strings.Cut(r.Host.Platform, "/")
	all := []setting{
		{"goos", system},
		{"goarch", arch},
		{"pkg", r.Module},
		{"cpu", r.Host.CPU},
		{"cores", number(r.Host.Cores)},
		{"gomaxprocs", number(r.Procs)},
		{"go", r.Go.Version},
		{"goflags", r.Go.Flags},
		{"goexperiment", r.Go.Experiment},
		{"gofips140", r.Go.FIPS140},
		{"emulator", r.emulation()},
		{"flags", strings.Join(r.Flags, " ")},
		{"binaries", strings.Join(r.Binaries, " ")},
	}
	for i := range all {
		all[i].value = clean(all[i].value)
	}
	return slices.DeleteFunc(all, func(s setting) bool { return s.value == "" })
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
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
