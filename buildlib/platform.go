package buildlib

import (
	"encoding"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Platform is an operating system and a processor architecture, normalized by
// ParsePlatform, so that equal platforms are equal values. The zero value is no
// platform. As text, and in JSON, it is OS/ARCH[/VARIANT].
type Platform struct {
	OS           string // as GOOS
	Architecture string // as GOARCH
	Variant      string // like v7 of arm; empty: the architecture's default
}

var (
	_ encoding.TextMarshaler   = Platform{}
	_ encoding.TextUnmarshaler = (*Platform)(nil)
)

// ParsePlatform reads OS/ARCH[/VARIANT] in any spelling that containerd knows
// (github.com/containerd/platforms), like linux/aarch64 or linux/arm/7.
func ParsePlatform(s string) (Platform, error) {
	if !strings.Contains(s, "/") {
		return Platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT, like linux/arm64", s)
	}
	spec, err := platforms.Parse(s)
	if err != nil {
		return Platform{}, fmt.Errorf("platform %q: unknown", s)
	}
	if spec.OSVersion != "" || len(spec.OSFeatures) > 0 {
		return Platform{}, fmt.Errorf("platform %q: versions and features of an OS can't be chosen: go builds one binary for all", s)
	}
	spec = platforms.Normalize(spec)
	return Platform{spec.OS, spec.Architecture, spec.Variant}, nil
}

// String returns OS/ARCH[/VARIANT]; empty for the zero value.
func (p Platform) String() string {
	if p == (Platform{}) {
		return ""
	}
	return p.spec().String()
}

// MarshalText returns String.
func (p Platform) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes, and refuses any other spelling.
func (p *Platform) UnmarshalText(text []byte) (err error) {
	*p = Platform{}
	if len(text) == 0 {
		return nil
	}
	if *p, err = ParsePlatform(string(text)); err == nil && p.String() != string(text) {
		err = fmt.Errorf("platform %q: want %s", text, p)
	}
	return err
}

// spec is the platform as the OCI image spec describes it (image-index.md).
func (p Platform) spec() v1.Platform {
	return v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}

// containerd is the platform as github.com/containerd/platforms has it.
func (p Platform) containerd() platforms.Platform {
	return platforms.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}

func isWindows(p Platform) bool { return p.OS == "windows" }

// nativePath converts an absolute path with slashes to the form that programs on p use.
func (p Platform) nativePath(path string) string {
	if !isWindows(p) || path == "" {
		return path
	}
	return "C:" + strings.ReplaceAll(path, "/", `\`)
}

// pair is OS/ARCH, which is how go tool dist list names a platform.
func (p Platform) pair() string { return p.OS + "/" + p.Architecture }

// parsePlatform is ParsePlatform for platforms that Go can build for. known are its
// OS/ARCH pairs.
func parsePlatform(s string, known []string) (Platform, error) {
	p, err := ParsePlatform(s)
	if err != nil {
		return p, fmt.Errorf("%w%s", err, didYouMean(s, known))
	}
	if !slices.Contains(known, p.pair()) {
		return p, fmt.Errorf("platform %q: Go can't build for it (go tool dist list shows what it can)%s", s, didYouMean(p.pair(), known))
	}
	if _, err := gotool.PlatformEnv(p.spec()); err != nil {
		return p, fmt.Errorf("platform %q: %w", s, err)
	}
	return p, nil
}

// platformEnv is the go command's environment for p, which parsePlatform has
// validated.
func platformEnv(p Platform) []string {
	env, _ := gotool.PlatformEnv(p.spec())
	return env
}

// didYouMean suggests the known name that is most similar to s, if there is one.
func didYouMean(s string, known []string) string {
	if near := wording.Nearest(s, known); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

// intersect returns the platforms that are in both lists, in the order of the first.
func intersect(list, other []Platform) []Platform {
	return slices.DeleteFunc(slices.Clone(list), func(p Platform) bool { return !slices.Contains(other, p) })
}

// join formats a list for messages.
func join[T fmt.Stringer](list []T) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}
