package buildlib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// platform is a parsed and normalized platform, and the go environment that
// builds for it.
type platform struct {
	v1.Platform
	name string // OS/ARCH[/VARIANT]
	env  []string
}

func (p platform) String() string { return p.name }

// folder is the platform as a path: OS/ARCH[/VARIANT].
func (p platform) folder() string { return p.name }

// onto returns the facts with p's own.
func (p platform) onto(f Facts) Facts {
	f.Platform, f.OS, f.Arch, f.Variant = p.name, p.OS, p.Architecture, p.Variant
	return f
}

// parsePlatform reads OS/ARCH[/VARIANT] in any spelling that containerd knows.
// known are the OS/ARCH pairs that go builds for.
func parsePlatform(s string, known []string) (platform, error) {
	if parts := strings.Split(s, "/"); len(parts) < 2 {
		return platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT, like linux/arm64%s", s, meant(s, known))
	}
	spec, err := platforms.Parse(s)
	if err != nil {
		return platform{}, fmt.Errorf("platform %q: not known%s", s, meant(s, known))
	}
	if spec.OSVersion != "" || len(spec.OSFeatures) > 0 {
		return platform{}, fmt.Errorf("platform %q: versions and features of an OS can't be chosen: go builds one binary for all", s)
	}
	spec = platforms.Normalize(spec)
	pair := spec.OS + "/" + spec.Architecture
	if !slices.Contains(known, pair) {
		return platform{}, fmt.Errorf("platform %q: go builds none such (go tool dist list)%s", s, meant(pair, known))
	}
	p := platform{Platform: v1.Platform{OS: spec.OS, Architecture: spec.Architecture, Variant: spec.Variant}}
	p.name = platforms.Format(spec)
	if p.env, err = gotool.PlatformEnv(p.Platform); err != nil {
		return platform{}, fmt.Errorf("platform %q: %w", s, err)
	}
	return p, nil
}

// meant proposes the known name that is nearest to a misspelt one, if one is.
func meant(s string, known []string) string {
	if near := wording.Nearest(s, known); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

// parsePlatforms reads a list, noting each mistake under field.
func (r *resolver) parsePlatforms(field string, list []string) []platform {
	var parsed []platform
	for i, s := range list {
		p, err := parsePlatform(s, r.ports)
		if err != nil {
			r.check(fmt.Sprintf("%s[%d]", field, i), err)
			continue
		}
		if slices.ContainsFunc(parsed, p.is) {
			r.mistake(fmt.Sprintf("%s[%d]", field, i), "platform %s is named twice", p)
			continue
		}
		parsed = append(parsed, p)
	}
	return parsed
}

func (p platform) is(other platform) bool { return p.name == other.name }

// limit keeps the platforms that are in by, in the order of list.
func limit(list, by []platform) []platform {
	var kept []platform
	for _, p := range list {
		if slices.ContainsFunc(by, p.is) {
			kept = append(kept, p)
		}
	}
	return kept
}

// join prints a list for people.
func join[T fmt.Stringer](list []T) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}
