package targets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib"
)

func TestOverrides(t *testing.T) {
	for _, tt := range []struct {
		environ string // separated by |
		want    buildlib.Overrides
	}{
		{"", buildlib.Overrides{}},
		{"HOME=/root|PATH=/bin|MULTIMAGEX=1|multimage_tags=x", buildlib.Overrides{}},
		{"MULTIMAGE_PLATFORMS=linux/amd64", buildlib.Overrides{Platforms: []string{"linux/amd64"}}},
		{"MULTIMAGE_PLATFORMS= linux/amd64, linux/arm/v7 ,", buildlib.Overrides{Platforms: []string{"linux/amd64", "linux/arm/v7"}}},
		{"MULTIMAGE_REGISTRIES=ghcr.io/acme,docker.io/acme", buildlib.Overrides{Registries: []string{"ghcr.io/acme", "docker.io/acme"}}},
		// Set and empty: none, which is not the same as not set.
		{"MULTIMAGE_REGISTRIES=", buildlib.Overrides{Registries: []string{}}},
		{"MULTIMAGE_REGISTRIES= ", buildlib.Overrides{Registries: []string{}}},
		{"MULTIMAGE_TAGS={{.Version}},latest", buildlib.Overrides{Tags: []string{"{{.Version}}", "latest"}}},
		{"MULTIMAGE_IMAGES=router", buildlib.Overrides{Images: []string{"router"}}},
		{"MULTIMAGE_VERSION=v1=2", buildlib.Overrides{Version: "v1=2"}},
		{"MULTIMAGE_OUTPUT=/my out", buildlib.Overrides{Output: "/my out"}},
		{"MULTIMAGE_ALLOW_DIRTY=1", buildlib.Overrides{AllowDirty: true}},
		{"MULTIMAGE_ALLOW_DIRTY= false ", buildlib.Overrides{}},
		{"MULTIMAGE_CACHE=/cache", buildlib.Overrides{Cache: "/cache"}},
		{"MULTIMAGE_BASES= ghcr.io/acme/bases ", buildlib.Overrides{Bases: "ghcr.io/acme/bases"}},
		{"MULTIMAGE_EVIDENCE= sbom, cyclonedx |MULTIMAGE_SIGN= key.pem ", buildlib.Overrides{Evidence: []string{"sbom", "cyclonedx"}, Sign: "key.pem"}},
		{"MULTIMAGE_EVIDENCE=none", buildlib.Overrides{Evidence: []string{}}},
		{"MULTIMAGE_EVIDENCE=", buildlib.Overrides{Evidence: []string{}}},
		{"MULTIMAGE_BUILD_CACHE= ghcr.io/acme/cache |MULTIMAGE_TRACE=/t.json", buildlib.Overrides{BuildCache: "ghcr.io/acme/cache"}},
		// CI sets variables to nothing where it has no value for them.
		{"MULTIMAGE_PLATFORMS=|MULTIMAGE_TAGS=|MULTIMAGE_IMAGES=|MULTIMAGE_VERSION=|MULTIMAGE_OUTPUT=|MULTIMAGE_CACHE=|MULTIMAGE_JOBS=", buildlib.Overrides{}},
		{"MULTIMAGE_BENCH_RUNS=6|MULTIMAGE_BENCH_BUDGET= 1h30m |MULTIMAGE_BENCH_BASELINE=/b.json|MULTIMAGE_BENCH_TOLERANCE=2.5",
			buildlib.Overrides{Bench: buildlib.Bench{Runs: 6, Budget: 90 * time.Minute, Baseline: "/b.json", Tolerance: 2.5}}},
		{"MULTIMAGE_BENCH_TOLERANCE= 10 %", buildlib.Overrides{Bench: buildlib.Bench{Tolerance: 10}}},
		{"MULTIMAGE_BENCH_RUNS=|MULTIMAGE_BENCH_BUDGET=|MULTIMAGE_BENCH_BASELINE=|MULTIMAGE_BENCH_TOLERANCE=", buildlib.Overrides{}},
	} {
		got, how, err := overrides(strings.Split(tt.environ, "|"))
		if err != nil {
			t.Errorf("%s: %v", tt.environ, err)
		}
		if fmt.Sprintf("%#v", how) != fmt.Sprintf("%#v", buildlib.Options{}) {
			t.Errorf("%s: options %#v", tt.environ, how)
		}
		// %#v tells an empty list from none.
		if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", tt.want); g != w {
			t.Errorf("%s\ngot  %s\nwant %s", tt.environ, g, w)
		}
	}
}

func TestOptions(t *testing.T) {
	_, how, err := overrides([]string{"MULTIMAGE_JOBS= 3 "})
	if err != nil || how.Jobs != 3 {
		t.Errorf("options %#v, %v", how, err)
	}
	for value, want := range map[string]bool{"1": true, "0": false, "": false} {
		_, how, err := overrides([]string{"MULTIMAGE_BUILD_CACHE_WRITE=" + value})
		if err != nil || how.WriteBuildCache != want {
			t.Errorf("%q: options %#v, %v", value, how, err)
		}
	}
}

func TestOverridesRefused(t *testing.T) {
	for _, tt := range []struct {
		environ string
		want    []string // a line each
	}{
		{"MULTIMAGE_PLATFORM=linux/amd64", []string{"MULTIMAGE_PLATFORM: no such variable; did you mean MULTIMAGE_PLATFORMS?"}},
		{"MULTIMAGE_REGISTRY=ghcr.io", []string{"MULTIMAGE_REGISTRY: no such variable; did you mean MULTIMAGE_REGISTRIES?"}},
		{"MULTIMAGE_tags=x", []string{"MULTIMAGE_tags: no such variable; did you mean MULTIMAGE_TAGS?"}},
		{"MULTIMAGE_BENCHRUNS=6", []string{"MULTIMAGE_BENCHRUNS: no such variable; did you mean MULTIMAGE_BENCH_RUNS?"}},
		{"MULTIMAGE_ALLOWDIRTY=1", []string{"MULTIMAGE_ALLOWDIRTY: no such variable; did you mean MULTIMAGE_ALLOW_DIRTY?"}},
		{"MULTIMAGE_ALLOW_DIRTY=yes", []string{`MULTIMAGE_ALLOW_DIRTY: "yes" is neither true nor false: want 1 or 0`}},
		// Even if it is empty: it says what somebody wants.
		{"MULTIMAGE_TAG=", []string{"MULTIMAGE_TAG: no such variable; did you mean MULTIMAGE_TAGS?"}},
		{"MULTIMAGE_DEBUG=1", []string{"MULTIMAGE_DEBUG: no such variable: there are MULTIMAGE_PLATFORMS, MULTIMAGE_REGISTRIES, MULTIMAGE_TAGS, MULTIMAGE_IMAGES, " +
			"MULTIMAGE_VERSION, MULTIMAGE_OUTPUT, MULTIMAGE_JOBS, MULTIMAGE_CACHE, MULTIMAGE_BASES, MULTIMAGE_BUILD_CACHE, MULTIMAGE_BUILD_CACHE_WRITE, MULTIMAGE_TRACE, MULTIMAGE_ALLOW_DIRTY, MULTIMAGE_EVIDENCE, MULTIMAGE_SIGN, MULTIMAGE_ENGINE, MULTIMAGE_BENCH_RUNS, MULTIMAGE_BENCH_BUDGET, MULTIMAGE_BENCH_BASELINE, MULTIMAGE_BENCH_TOLERANCE"}},
		{"MULTIMAGE_JOBS=0", []string{`MULTIMAGE_JOBS: "0" is not a number of jobs: want 1 or more`}},
		{"MULTIMAGE_JOBS=-1", []string{`MULTIMAGE_JOBS: "-1" is not a number of jobs: want 1 or more`}},
		{"MULTIMAGE_BENCH_RUNS=0|MULTIMAGE_BENCH_BUDGET=20|MULTIMAGE_BENCH_TOLERANCE=0", []string{
			`MULTIMAGE_BENCH_RUNS: "0" is not a number of runs: want 1 or more`,
			`MULTIMAGE_BENCH_BUDGET: "20" is not a duration: want one like 20m or 1h30m`,
			`MULTIMAGE_BENCH_TOLERANCE: "0" is not a percentage above 0: want one like 10`,
		}},
		{"MULTIMAGE_BENCH_RUNS=many|MULTIMAGE_BENCH_BUDGET=-1m|MULTIMAGE_BENCH_TOLERANCE=NaN", []string{
			`MULTIMAGE_BENCH_RUNS: "many" is not a number of runs: want 1 or more`,
			`MULTIMAGE_BENCH_BUDGET: "-1m" is not a duration: want one like 20m or 1h30m`,
			`MULTIMAGE_BENCH_TOLERANCE: "NaN" is not a percentage above 0: want one like 10`,
		}},
		{"MULTIMAGE_JOBS=many", []string{`MULTIMAGE_JOBS: "many" is not a number of jobs: want 1 or more`}},
		{"MULTIMAGE_JOBS=x|MULTIMAGE_TAG=1|MULTIMAGE_TAGS=ok|MULTIMAGE_IMAGE=a", []string{
			`MULTIMAGE_JOBS: "x" is not a number of jobs: want 1 or more`,
			"MULTIMAGE_TAG: no such variable; did you mean MULTIMAGE_TAGS?",
			"MULTIMAGE_IMAGE: no such variable; did you mean MULTIMAGE_IMAGES?",
		}},
	} {
		_, _, err := overrides(strings.Split(tt.environ, "|"))
		if err == nil || err.Error() != strings.Join(tt.want, "\n") {
			t.Errorf("%s\ngot  %v\nwant %s", tt.environ, err, strings.Join(tt.want, "\n"))
		}
	}
}
