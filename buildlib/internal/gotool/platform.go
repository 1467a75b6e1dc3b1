package gotool

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// variants are the variables that choose a level of an architecture, with
// their defaults (go help environment, "Architecture-specific environment
// variables").
var variants = []struct {
	name, def string
	arch      []string // the GOARCHes that it applies to
}{
	{"GO386", "sse2", []string{"386"}},
	{"GOAMD64", "v1", []string{"amd64"}},
	{"GOARM", "7", []string{"arm"}},
	{"GOARM64", "v8.0", []string{"arm64"}},
	{"GOMIPS", "hardfloat", []string{"mips", "mipsle"}},
	{"GOMIPS64", "hardfloat", []string{"mips64", "mips64le"}},
	{"GOPPC64", "power8", []string{"ppc64", "ppc64le"}},
	{"GORISCV64", "rva20u64", []string{"riscv64"}},
}

// levels are the values of a variant that Go knows, where they are not the
// variant itself.
var levels = map[string]map[string]string{
	"GO386":     {"sse2": "sse2", "softfloat": "softfloat"},
	"GOAMD64":   {"v2": "v2", "v3": "v3", "v4": "v4"},
	"GOARM":     {"v5": "5", "v6": "6", "v7": "7", "v8": "7"},
	"GOMIPS":    {"hardfloat": "hardfloat", "softfloat": "softfloat"},
	"GOMIPS64":  {"hardfloat": "hardfloat", "softfloat": "softfloat"},
	"GOPPC64":   {"power8": "power8", "power9": "power9", "power10": "power10"},
	"GORISCV64": {"rva20u64": "rva20u64", "rva22u64": "rva22u64", "rva23u64": "rva23u64"},
}

// PlatformVariables are the names of the variables that choose a platform,
// which nobody but the plan may set.
func PlatformVariables() []string {
	names := []string{"GOOS", "GOARCH", "CGO_ENABLED"}
	for _, v := range variants {
		names = append(names, v.name)
	}
	return names
}

// PlatformEnv returns the environment that builds for p. It sets every
// platform variable, the defaults too: an unset or empty one would fall
// through to what go env -w has written on this machine.
func PlatformEnv(p v1.Platform) ([]string, error) {
	env := []string{"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Architecture}
	known := p.Variant == ""
	for _, v := range variants {
		value := v.def
		for _, arch := range v.arch {
			if arch != p.Architecture || p.Variant == "" {
				continue
			}
			level, ok := level(v.name, p.Variant)
			if !ok {
				return nil, fmt.Errorf("variant %q of %s is none that Go knows", p.Variant, arch)
			}
			value, known = level, true
		}
		env = append(env, v.name+"="+value)
	}
	if !known {
		return nil, fmt.Errorf("%s has no variants", p.Architecture)
	}
	return env, nil
}

func level(variable, variant string) (string, bool) {
	if variable == "GOARM64" {
		// v8 and v9, with the minor that Go wants to see (go help environment).
		major, minor, dotted := strings.Cut(variant, ".")
		if !dotted {
			minor = "0"
		}
		valid := major == "v8" && len(minor) == 1 && minor <= "9" || major == "v9" && len(minor) == 1 && minor <= "5"
		return major + "." + minor, valid
	}
	value, ok := levels[variable][variant]
	return value, ok
}
