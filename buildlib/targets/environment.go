package targets

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/spell"
)

// prefix starts every variable that is ours.
const prefix = "MULTIMAGE_"

// variables are those that exist, without the prefix. Those of the benchmark
// are read by it.
var variables = []string{
	"PLATFORMS", "REGISTRIES", "TAGS", "IMAGES", "VERSION", "OUTPUT", "JOBS", "CACHE",
	"BENCH_RUNS", "BENCH_BUDGET", "BENCH_BASELINE", "BENCH_TOLERANCE",
}

// overrides reads the variables from an environment. A variable that doesn't
// exist is an error, because a misspelt one would silently build the wrong
// thing. An empty one is like none, but for MULTIMAGE_REGISTRIES, where it
// means no registry.
func overrides(environ []string) (buildlib.Overrides, error) {
	var o buildlib.Overrides
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
		case "JOBS":
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 1 {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a number of jobs: want 1 or more", key, value))
			}
			o.Jobs = n
		}
	}
	return o, errors.Join(mistakes...)
}

func unknown(key, name string) error {
	all := make([]string, len(variables))
	for i, v := range variables {
		all[i] = prefix + v
	}
	if near := spell.Nearest(name, variables); near != "" {
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
