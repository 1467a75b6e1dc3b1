package targets

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// prefix starts every variable that is ours.
const prefix = "MULTIMAGE_"

// variables are those that exist, without the prefix.
var variables = []string{
	"PLATFORMS", "REGISTRIES", "TAGS", "IMAGES", "VERSION", "OUTPUT", "JOBS", "CACHE", "BASES", "BUILD_CACHE", "BUILD_CACHE_WRITE", "TRACE", "ALLOW_DIRTY", "EVIDENCE", "SIGN", "ENGINE",
	"BENCH_RUNS", "BENCH_BUDGET", "BENCH_BASELINE", "BENCH_TOLERANCE",
}

// spoken makes what the library calls its fields and methods what people type who
// use it through mage.
var spoken = strings.NewReplacer(
	"Overrides.Platforms", prefix+"PLATFORMS", "Overrides.Registries", prefix+"REGISTRIES", "Overrides.Tags", prefix+"TAGS",
	"Overrides.Images", prefix+"IMAGES", "Overrides.Version", prefix+"VERSION", "Overrides.Output", prefix+"OUTPUT",
	"Overrides.Cache", prefix+"CACHE", "Overrides.BuildCache", prefix+"BUILD_CACHE", "Overrides.Bases", prefix+"BASES", "Overrides.AllowDirty", prefix+"ALLOW_DIRTY=1",
	"Options.Engine", prefix+"ENGINE",
	"Overrides.Evidence", prefix+"EVIDENCE", "Overrides.Sign", prefix+"SIGN",
	"Overrides.Bench.Baseline", prefix+"BENCH_BASELINE",
	"Builder.Lock", "mage lock", "Builder.Manifest", "mage manifest", "Builder.BuildBases", "mage base:build", "Builder.Push", "ci:push", "Builder.Merge", "ci:merge", "Plan.String says", "mage plan prints",
)

// overrides reads the variables from an environment. A variable that doesn't
// exist is an error, because a misspelt one would silently build the wrong
// thing. An empty one is like none, but for MULTIMAGE_REGISTRIES and
// MULTIMAGE_EVIDENCE, where it means no registry and no evidence.
func overrides(environ []string) (buildlib.Overrides, buildlib.Options, error) {
	var o buildlib.Overrides
	var how buildlib.Options
	var mistakes []error
	for _, variable := range environ {
		key, value, _ := strings.Cut(variable, "=")
		name, ours := strings.CutPrefix(key, prefix)
		if !ours {
			continue
		}
		if !slices.Contains(variables, name) {
			mistakes = append(mistakes, unknown(key, name))
			continue
		}
		list := split(value)
		if name == "REGISTRIES" {
			o.Registries = append([]string{}, list...)
		}
		if name == "EVIDENCE" {
			o.Evidence = append([]string{}, list...)
			if value == "none" {
				o.Evidence = []string{}
			}
		}
		if strings.TrimSpace(value) == "" {
			continue
		}
		switch name {
		case "PLATFORMS":
			o.Platforms = list
		case "TAGS":
			o.Tags = list
		case "IMAGES":
			o.Images = list
		case "VERSION":
			o.Version = value
		case "OUTPUT":
			o.Output = value
		case "CACHE":
			o.Cache = value
		case "BUILD_CACHE":
			o.BuildCache = strings.TrimSpace(value)
		case "BASES":
			o.Bases = strings.TrimSpace(value)
		case "ALLOW_DIRTY", "BUILD_CACHE_WRITE":
			yes, err := strconv.ParseBool(strings.TrimSpace(value))
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is neither true nor false: want 1 or 0", key, value))
			}
			if name == "ALLOW_DIRTY" {
				o.AllowDirty = yes
			} else {
				how.WriteBuildCache = yes
			}
		case "SIGN":
			o.Sign = strings.TrimSpace(value)
		case "ENGINE":
			how.Engine = strings.TrimSpace(value)
		case "JOBS":
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 1 {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a number of jobs: want 1 or more", key, value))
			}
			how.Jobs = n
		case "BENCH_RUNS":
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 1 {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a number of runs: want 1 or more", key, value))
			}
			o.Bench.Runs = n
		case "BENCH_BUDGET":
			d, err := time.ParseDuration(strings.TrimSpace(value))
			if err != nil || d <= 0 {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a duration: want one like 20m or 1h30m", key, value))
			}
			o.Bench.Budget = d
		case "BENCH_BASELINE":
			file, err := filepath.Abs(value) // from where mage runs
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", key, err))
			}
			o.Bench.Baseline = file
		case "BENCH_TOLERANCE":
			f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "%")), 64)
			if err != nil || !(f > 0) || math.IsInf(f, 0) {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a percentage above 0: want one like 10", key, value))
			}
			o.Bench.Tolerance = f
		}
	}
	return o, how, errors.Join(mistakes...)
}

func unknown(key, name string) error {
	all := make([]string, len(variables))
	for i, v := range variables {
		all[i] = prefix + v
	}
	if near := wording.Nearest(name, variables); near != "" {
		return fmt.Errorf("%s: no such variable; did you mean %s%s?", key, prefix, near)
	}
	return fmt.Errorf("%s: no such variable: there are %s", key, strings.Join(all, ", "))
}

// split takes a comma-separated list apart.
func split(value string) []string {
	var list []string
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}
