package emulate

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// crossBuild compiles the toolchain's programs for the platform from the sources of the
// installed Go, as that was compiled itself, and returns the toolchain's Origin.
func (m *maker) crossBuild(ctx context.Context, root string) (string, error) {
	if err := m.hasSources(); err != nil {
		return "", err
	}
	m.log("cross-building the Go toolchain, which takes some minutes of processor time, once")
	out := filepath.Join(m.scratch.Dir, "programs")
	// The flags are those of Go's own distributions (cmd/dist): debugging
	// information would double what go links.
	argv := []string{m.goCommand(), "build", "-trimpath", "-buildvcs=false", "-gcflags=cmd/...=-dwarf=false", "-o", out + string(filepath.Separator)}
	for _, name := range slices.Sorted(maps.Keys(m.programs(root))) {
		argv = append(argv, "cmd/"+name)
	}
	env := append(m.env(), "CGO_ENABLED=0", "GOOS="+m.platform.OS, "GOARCH="+m.platform.Architecture)
	if level := m.level(); level != "" {
		env = append(env, level)
	}
	// Outside of any module, as a go.mod of the user's must have no effect.
	outside := filepath.Join(m.scratch.Dir, "outside")
	if err := errors.Join(os.MkdirAll(outside, 0o755), os.MkdirAll(out, 0o755)); err != nil {
		return "", err
	}
	if _, err := run(ctx, outside, env, argv...); err != nil {
		return "", fmt.Errorf("cross-building the Go toolchain: %w", err)
	}
	for name, to := range m.programs(root) {
		if err := os.Rename(filepath.Join(out, name), to); err != nil {
			return "", err
		}
	}
	return "cross-built from " + m.Version, m.checkPrograms(root)
}

// hasSources is an error if the installed Go lacks its own sources, for which
// distributions have a package of their own.
func (m *maker) hasSources() error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(m.programs(""))) {
		path := filepath.Join("src", "cmd", name)
		if _, err := os.Stat(filepath.Join(m.Root, path)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, filepath.ToSlash(path))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	series := strings.TrimPrefix(m.Version, "go")
	if parts := strings.SplitN(series, ".", 3); len(parts) == 3 {
		series = parts[0] + "." + parts[1]
	}
	return fmt.Errorf("the toolchain can't be cross-built: %s lacks Go's own sources (%s): install golang-%s-src (Debian, Ubuntu), golang-src (Fedora), or Go from https://go.dev/dl",
		m.Root, strings.Join(missing, ", "), series)
}

// checkPrograms is an error if a downloaded or built program is of another version or
// platform. It runs none.
func (m *maker) checkPrograms(root string) error {
	for name, path := range m.programs(root) {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err
		}
		if info.GoVersion != m.Version {
			return fmt.Errorf("%s in it is %s, not %s", name, info.GoVersion, m.Version)
		}
		for _, s := range info.Settings {
			if s.Key == "GOARCH" && s.Value != m.platform.Architecture || s.Key == "GOOS" && s.Value != m.platform.OS {
				return fmt.Errorf("%s in it has %s=%s", name, s.Key, s.Value)
			}
		}
	}
	return nil
}
