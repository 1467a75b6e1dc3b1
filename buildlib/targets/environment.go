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

// variables are the names of those that exist, without the prefix.
var variables = []string{
	"PLATFORMS", "REGISTRIES", "TAGS", "IMAGES", "VERSION", "OUTPUT", "JOBS", "CACHE", "BASES", "BUILD_CACHE", "BUILD_CACHE_WRITE", "TRACE", "ALLOW_DIRTY", "EVIDENCE", "SIGN", "ENGINE",
	"BENCH_RUNS", "BENCH_BUDGET", "BENCH_BASELINE", "BENCH_TOLERANCE",
}

// spoken replaces the library's names of fields and methods by what users of mage type.
var spoken = strings.NewReplacer(
	"Overrides.Platforms", prefix+"PLATFORMS", "Overrides.Registries", prefix+"REGISTRIES", "Overrides.Tags", prefix+"TAGS",
	"Overrides.Images", prefix+"IMAGES", "Overrides.Version", prefix+"VERSION", "Overrides.Output", prefix+"OUTPUT",
	"Overrides.Cache", prefix+"CACHE", "Overrides.BuildCache", prefix+"BUILD_CACHE", "Overrides.Bases", prefix+"BASES", "Overrides.AllowDirty", prefix+"ALLOW_DIRTY=1",
	"Options.Engine", prefix+"ENGINE",
	"Overrides.Evidence", prefix+"EVIDENCE", "Overrides.Sign", prefix+"SIGN",
	"Overrides.Bench.Baseline", prefix+"BENCH_BASELINE",
	"Builder.Lock", "mage lock", "Builder.Manifest", "mage manifest", "Builder.BuildBases", "mage base:build", "Builder.Push", "ci:push", "Builder.Merge", "ci:merge", "Plan.String says", "mage plan prints",
)

// overrides reads the variables from an environment. An unknown one is an error,
// because a misspelt one would silently build the wrong thing. An empty one is as if it
// weren't set, except that an empty MULTIMAGE_REGISTRIES or MULTIMAGE_EVIDENCE means no
// registry or no evidence.
func overrides(environ []string) (buildlib.Overrides, buildlib.Options, error) {
	var o buildlib.Overrides
	var options buildlib.Options
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
		list, trimmed := split(value), strings.TrimSpace(value)
		mistake := func(want string) { mistakes = append(mistakes, fmt.Errorf("%s: %q %s", key, value, want)) }
		number := func(what string) int {
			n, err := strconv.Atoi(trimmed)
			if err != nil || n < 1 {
				mistake("is not a number of " + what + ": want 1 or more")
			}
			return n
		}
		if name == "REGISTRIES" {
			o.Registries = append([]string{}, list...)
		}
		if name == "EVIDENCE" {
			o.Evidence = append([]string{}, list...)
			if value == "none" {
				o.Evidence = []string{}
			}
		}
		if trimmed == "" {
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
			o.BuildCache = trimmed
		case "BASES":
			o.Bases = trimmed
		case "ALLOW_DIRTY", "BUILD_CACHE_WRITE":
			yes, err := strconv.ParseBool(trimmed)
			if err != nil {
				mistake("is neither true nor false: want 1 or 0")
			}
			if name == "ALLOW_DIRTY" {
				o.AllowDirty = yes
			} else {
				options.WriteBuildCache = yes
			}
		case "SIGN":
			o.Sign = trimmed
		case "ENGINE":
			options.Engine = trimmed
		case "JOBS":
			options.Jobs = number("jobs")
		case "BENCH_RUNS":
			o.Bench.Runs = number("runs")
		case "BENCH_BUDGET":
			d, err := time.ParseDuration(trimmed)
			if err != nil || d <= 0 {
				mistake("is not a duration: want one like 20m or 1h30m")
			}
			o.Bench.Budget = d
		case "BENCH_BASELINE":
			file, err := filepath.Abs(value) // from where mage runs
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", key, err))
			}
			o.Bench.Baseline = file
		case "BENCH_TOLERANCE":
			f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(trimmed, "%")), 64)
			if err != nil || !(f > 0) || math.IsInf(f, 0) {
				mistake("is not a percentage above 0: want one like 10")
			}
			o.Bench.Tolerance = f
		}
	}
	return o, options, errors.Join(mistakes...)
}

func unknown(key, name string) error {
	if near := wording.Nearest(name, variables); near != "" {
		return fmt.Errorf("%s: no such variable; did you mean %s%s?", key, prefix, near)
	}
	return fmt.Errorf("%s: no such variable: there are %s%s", key, prefix, strings.Join(variables, ", "+prefix))
}

// split splits a comma-separated list, without spaces and empty elements.
func split(value string) []string {
	var list []string
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}
