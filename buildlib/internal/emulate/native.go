package emulate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/process"
)

// asked are the settings of the installed go command that also apply to a foreign
// toolchain: its caches, and how it gets modules.
var asked = []string{
	"GOAUTH", "GOCACHE", "GOCACHEPROG", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB",
	"GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS",
}

// run runs a command in dir with nothing but env in its environment, and returns
// what it printed.
func run(ctx context.Context, dir string, env []string, argv ...string) ([]byte, error) {
	cmd := process.Command(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	return process.Output(ctx, cmd)
}

func (m *maker) goCommand() string { return filepath.Join(m.Root, "bin", "go") }

// ask asks the installed go command for its settings and makes sure that it
// has the right version.
func (m *maker) ask(ctx context.Context) error {
	out, err := run(ctx, m.Root, append(withoutSettings(os.Environ(), asked...), "GOTOOLCHAIN=local", "GOWORK=off"),
		append([]string{m.goCommand(), "env", "-json", "GOVERSION"}, asked...)...)
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	if err := json.Unmarshal(out, &m.native); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	if v := m.native["GOVERSION"]; v != m.Version {
		return fmt.Errorf("%s is %s, not %s", m.Root, v, m.Version)
	}
	return nil
}

// withoutSettings returns env without the variables that tell the go command how to
// build: the platform, flags and experiments of the project. Those in except stay.
func withoutSettings(env []string, except ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "GODEBUG", "GOENV", "GOGC", "GOMAXPROCS", "GOMEMLIMIT":
			return false // for every Go program, or the file that go env -w writes
		case "GIT_HTTP_USER_AGENT":
			return true // some values turn the checksum database off
		}
		return (strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "CGO_")) && !slices.Contains(except, name)
	})
}

// env returns the environment for the installed go command: with the user's settings
// in asked, and without go env -w, which could set others.
func (m *maker) env() []string {
	env := append(withoutSettings(os.Environ()), "GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOTMPDIR="+m.scratch.Dir)
	for _, name := range asked {
		env = append(env, name+"="+m.native[name])
	}
	return env
}

// key names the toolchain in the cache: by version, platform, and the installed Go that
// it is linked to and made from.
func (m *maker) key(ctx context.Context) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, m.Root, m.level())
	compiler := filepath.Join(m.Root, "pkg", "tool", runtime.GOOS+"_"+runtime.GOARCH, "compile")
	for _, path := range []string{m.goCommand(), compiler} {
		h, err := disk.SHA256(ctx, path)
		if err != nil {
			return "", fmt.Errorf("%s is not a Go installation: %w", m.Root, err)
		}
		fmt.Fprintln(sum, h)
	}
	version := strings.NewReplacer("/", "_", `\`, "_", ":", "_", " ", "_").Replace(m.Version)
	return fmt.Sprintf("%s-%s-%s-%s", version, m.platform.OS, m.platform.Architecture, hex.EncodeToString(sum.Sum(nil)[:6])), nil
}

// level returns the setting of the platform's variant without which a processor may
// not run the toolchain's programs at all. Other settings only make them faster, and
// published toolchains are built without.
func (m *maker) level() string {
	switch p := m.platform; {
	case p.Architecture == "arm" && (p.Variant == "v5" || p.Variant == "v6"):
		return "GOARM=" + p.Variant[1:]
	case p.Architecture == "arm":
		return "GOARM=7"
	case p.Variant == "softfloat" && strings.HasPrefix(p.Architecture, "mips"):
		return strings.TrimSuffix("GO"+strings.ToUpper(p.Architecture), "LE") + "=softfloat"
	}
	return ""
}
