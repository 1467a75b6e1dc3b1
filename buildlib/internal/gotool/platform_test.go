package gotool

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// defaults are what every platform sets if it says nothing else.
var defaults = map[string]string{
	"CGO_ENABLED": "0", "GO386": "sse2", "GOAMD64": "v1", "GOARM": "7", "GOARM64": "v8.0",
	"GOMIPS": "hardfloat", "GOMIPS64": "hardfloat", "GOPPC64": "power8", "GORISCV64": "rva20u64",
}

// levelTable is every variant, and the one variable that it sets.
var levelTable = []struct{ arch, variant, variable, value string }{
	{"amd64", "", "GOAMD64", "v1"},
	{"amd64", "v2", "GOAMD64", "v2"},
	{"amd64", "v3", "GOAMD64", "v3"},
	{"amd64", "v4", "GOAMD64", "v4"},
	{"arm", "", "GOARM", "7"},
	{"arm", "v5", "GOARM", "5"},
	{"arm", "v6", "GOARM", "6"},
	{"arm", "v7", "GOARM", "7"},
	{"arm", "v8", "GOARM", "7"}, // go takes 8 and doesn't know it
	{"arm64", "", "GOARM64", "v8.0"},
	{"arm64", "v8", "GOARM64", "v8.0"},
	{"arm64", "v8.9", "GOARM64", "v8.9"},
	{"arm64", "v9", "GOARM64", "v9.0"},
	{"arm64", "v9.5", "GOARM64", "v9.5"},
	{"386", "", "GO386", "sse2"},
	{"386", "softfloat", "GO386", "softfloat"},
	{"mips", "softfloat", "GOMIPS", "softfloat"},
	{"mipsle", "softfloat", "GOMIPS", "softfloat"},
	{"mips64", "softfloat", "GOMIPS64", "softfloat"},
	{"mips64le", "hardfloat", "GOMIPS64", "hardfloat"},
	{"ppc64", "power9", "GOPPC64", "power9"},
	{"ppc64le", "power10", "GOPPC64", "power10"},
	{"riscv64", "", "GORISCV64", "rva20u64"},
	{"riscv64", "rva22u64", "GORISCV64", "rva22u64"},
	{"riscv64", "rva23u64", "GORISCV64", "rva23u64"},
	{"s390x", "", "", ""},
	{"loong64", "", "", ""},
}

func TestPlatformEnv(t *testing.T) {
	for _, tt := range levelTable {
		t.Run(tt.arch+"/"+tt.variant, func(t *testing.T) {
			env, err := PlatformEnv(v1.Platform{OS: "linux", Architecture: tt.arch, Variant: tt.variant})
			if err != nil {
				t.Fatal(err)
			}
			// All of them are set: an unset one would be what go env -w
			// wrote on this machine.
			want := []string{"GOOS=linux", "GOARCH=" + tt.arch}
			for name, value := range defaults {
				if name == tt.variable {
					value = tt.value
				}
				want = append(want, name+"="+value)
			}
			slices.Sort(want)
			got := slices.Sorted(slices.Values(env))
			if !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			for _, e := range env {
				if name, _, _ := strings.Cut(e, "="); !slices.Contains(PlatformVariables(), name) {
					t.Errorf("%s is set, and not refused in a project's own environment", name)
				}
			}
		})
	}
}

func TestPlatformEnvRefuses(t *testing.T) {
	for _, tt := range []struct{ arch, variant, want string }{
		{"amd64", "v5", `Go knows no variant "v5" of amd64`},
		{"arm", "v4", `Go knows no variant "v4" of arm`},
		{"arm", "7", `Go knows no variant "7" of arm`},
		{"arm64", "v10", `Go knows no variant "v10" of arm64`},
		{"arm64", "v9.6", `Go knows no variant "v9.6" of arm64`},
		{"arm64", "v8.", `Go knows no variant "v8." of arm64`},
		{"arm64", "v8.0,lse", `Go knows no variant "v8.0,lse" of arm64`},
		{"386", "sse", `Go knows no variant "sse" of 386`},
		{"s390x", "z15", "s390x has no variants"},
	} {
		_, err := PlatformEnv(v1.Platform{OS: "linux", Architecture: tt.arch, Variant: tt.variant})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s/%s: error %v, want %q", tt.arch, tt.variant, err, tt.want)
		}
	}
}

// Go rejects a level that it doesn't know whenever it loads a package.
func TestGoTakesEveryLevel(t *testing.T) {
	g := Go{Dir: t.TempDir()}
	var all errgroup.Group
	all.SetLimit(2)
	for _, tt := range levelTable {
		all.Go(func() error {
			env, err := PlatformEnv(v1.Platform{OS: "linux", Architecture: tt.arch, Variant: tt.variant})
			if err != nil {
				return err
			}
			if _, err := g.List(t.Context(), env, nil, "unsafe"); err != nil {
				return fmt.Errorf("%s/%s: %w", tt.arch, tt.variant, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

func TestEveryPortHasAnEnvironment(t *testing.T) {
	ports, err := Go{}.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"} {
		if !slices.Contains(ports, must) {
			t.Errorf("go tool dist list doesn't have %s: %v", must, ports)
		}
	}
	for _, port := range ports {
		os, arch, _ := strings.Cut(port, "/")
		if _, err := PlatformEnv(v1.Platform{OS: os, Architecture: arch}); err != nil {
			t.Errorf("%s: %v", port, err)
		}
	}
}
