package gotool

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// variants are the variables that choose a level of an architecture, with their
// defaults, the GOARCHes that they apply to, and the values of the platform's
// variants: the variant itself if it is in the list, or what follows its = (go help
// environment, "Architecture-specific environment variables").
var variants = []struct{ name, def, arches, values string }{
	{"GO386", "sse2", "386", "sse2 softfloat"},
	{"GOAMD64", "v1", "amd64", "v2 v3 v4"},
	{"GOARM", "7", "arm", "v5=5 v6=6 v7=7 v8=7"},
	{"GOARM64", "v8.0", "arm64", ""}, // see level
	{"GOMIPS", "hardfloat", "mips mipsle", "hardfloat softfloat"},
	{"GOMIPS64", "hardfloat", "mips64 mips64le", "hardfloat softfloat"},
	{"GOPPC64", "power8", "ppc64 ppc64le", "power8 power9 power10"},
	{"GORISCV64", "rva20u64", "riscv64", "rva20u64 rva22u64 rva23u64"},
}

// PlatformVariables are the names of the variables that choose a platform. Only the
// plan may set them.
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
	hasVariants := false
	for _, v := range variants {
		value := v.def
		if p.Variant != "" && slices.Contains(strings.Fields(v.arches), p.Architecture) {
			hasVariants = true
			if value = level(p.Variant, v.values); value == "" {
				return nil, fmt.Errorf("Go knows no variant %q of %s", p.Variant, p.Architecture)
			}
		}
		env = append(env, v.name+"="+value)
	}
	if p.Variant != "" && !hasVariants {
		return nil, fmt.Errorf("%s has no variants", p.Architecture)
	}
	return env, nil
}

// arm64Variant matches v8 and v9 with or without a minor version, which Go needs.
var arm64Variant = regexp.MustCompile(`^(v8|v9)(\.[0-9])?$`)

// level is the value of a variant among those of its variable, or nothing if there is
// no such variant.
func level(variant, values string) string {
	if m := arm64Variant.FindStringSubmatch(variant); values == "" && m != nil && variant <= "v9.5" {
		return m[1] + cmp.Or(m[2], ".0")
	}
	for _, known := range strings.Fields(values) {
		name, value, _ := strings.Cut(known, "=")
		if name == variant {
			return cmp.Or(value, name)
		}
	}
	return ""
}

// variable is the value of a variable in env, where the last one counts.
func variable(env []string, name string) string {
	value := ""
	for _, v := range env {
		if n, s, _ := strings.Cut(v, "="); n == name {
			value = s
		}
	}
	return value
}
