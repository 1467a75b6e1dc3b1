package gotool

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestFlags(t *testing.T) {
	flags := SplitFlags(` -a --tags=one '-ldflags=-s -w' "-tags=two" -pgo  x.pgo`)
	if want := []string{"-a", "--tags=one", "-ldflags=-s -w", "-tags=two", "-pgo", "x.pgo"}; !slices.Equal(flags, want) {
		t.Errorf("flags %q, want %q", flags, want)
	}
	for name, want := range map[string]string{"tags": "two", "ldflags": "-s -w", "pgo": "x.pgo", "mod": ""} {
		if got := FlagValue(flags, name); got != want {
			t.Errorf("-%s is %q, want %q", name, got, want)
		}
	}
}

func TestSplitFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"":                              "",
		"  -a -b=c\t-d ":                "-a|-b=c|-d",
		`'-ldflags=-s -w' "-tags=a, b"`: "-ldflags=-s -w|-tags=a, b",
		`-x='a b'`:                      "-x='a|b'", // quotes are for whole flags
		`'-a`:                           "'-a",
	} {
		if got := strings.Join(SplitFlags(flags), "|"); got != want {
			t.Errorf("SplitFlags(%s) = %s, want %s", flags, got, want)
		}
	}
}

// What go makes for one platform is refused for another.
func TestInspect(t *testing.T) {
	for _, platform := range []v1.Platform{
		{OS: "linux", Architecture: "amd64"}, {OS: "windows", Architecture: "amd64"}, {OS: "darwin", Architecture: "arm64"},
	} {
		t.Run(platform.String(), func(t *testing.T) {
			if platform.OS != "linux" {
				testenv.Slow(t) // go compiles the runtime for it
			}
			p := newProject(t)
			var err error
			if p.Env, err = PlatformEnv(platform); err != nil {
				t.Fatal(err)
			}
			p.Mains = p.Mains[:1]
			if p.Mains[0].File = "one"; platform.OS == "windows" {
				p.Mains[0].File = "one.exe"
			}
			path := p.build()[0].Path
			for _, other := range []string{"GOOS=freebsd", "GOOS=windows", "GOARCH=ppc64", "GOARCH=386"} {
				if _, err := inspect(path, append(slices.Clone(p.Env), other)); err == nil {
					if name, value, _ := strings.Cut(other, "="); variable(p.Env, name) != value {
						t.Errorf("%v is taken for %s", platform, other)
					}
				}
			}
		})
	}
}
