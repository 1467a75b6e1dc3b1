package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// Matrix is a build spread over CI jobs, one per platform. As JSON it is what
// GitHub Actions takes for strategy.matrix, through fromJSON.
type Matrix struct {
	Include []MatrixJob `json:"include"`
}

// MatrixJob is the job for one platform: it runs Builder.Push with
// Overrides.Platforms set to that platform.
type MatrixJob struct {
	Platform Platform `json:"platform"`
	// Runner is the label of the runner: the Project's for the platform, or
	// ubuntu-latest, because every platform can be built on any host.
	Runner string `json:"runner"`
	// CacheKey is a key for a build cache (GOCACHE) with the platform's compiled
	// packages. It changes with the Go version, the platform's effective go
	// environment and flags, and the modules that the build needs. It doesn't
	// change with the source, the commit, the version or the linker's
	// arguments. It has no comma or space, and is shorter than 200 bytes.
	//
	// It is the same on every host, as the cache entries of a released Go are. But a
	// job's cache also has mage and the magefile, which are compiled for the host, so
	// workflows put the runner's system and architecture before the key.
	CacheKey string `json:"cacheKey"`
}

const defaultRunner = "ubuntu-latest"

// Matrix returns a job for each platform that an image is made for, in the
// order of Compiles. Platforms with binaries but no image have no job, because they
// have nothing to publish.
func (b *Builder) Matrix(ctx context.Context) (Matrix, error) {
	p := b.plan
	if err := p.hasImages(); err != nil {
		return Matrix{}, err
	}
	modules, err := p.modules(ctx)
	if err != nil {
		return Matrix{}, fmt.Errorf("cache key: %w", err)
	}
	var order []Platform
	for _, c := range p.Compiles {
		order = append(order, c.Platform)
	}
	published := map[Platform]bool{}
	for _, ip := range p.ImagePlans {
		for _, pp := range ip.Platforms {
			published[pp.Platform] = true
			order = append(order, pp.Platform) // an image may have no binary
		}
	}
	var m Matrix
	for _, platform := range order {
		if !published[platform] {
			continue
		}
		delete(published, platform) // it has its job
		m.Include = append(m.Include, MatrixJob{
			Platform: platform,
			Runner:   cmp.Or(p.Runners[platform], defaultRunner),
			CacheKey: p.cacheKey(platform, modules),
		})
	}
	return m, nil
}

// cacheKey is MatrixJob.CacheKey.
func (p *Plan) cacheKey(platform Platform, modules string) string {
	var ways []string
	for _, c := range p.Compiles {
		if c.Platform == platform {
			ways = append(ways, fmt.Sprintf("%q %s", c.Env, c.PackageFlags))
		}
	}
	slices.Sort(ways)
	compiling := shortHash(fmt.Sprintf("%q %q %q %q %q", p.Go.Version, withoutLdflags(gotool.SplitFlags(p.Go.Flags)),
		p.Go.Experiment, p.Go.FIPS140, slices.Compact(ways)))
	return strings.Join([]string{
		keyWord(p.Go.Version), platform.dashed(), compiling, modules,
	}, "-")
}

// settings is RecordGo.Settings.
func (t Toolchain) settings() string {
	flags := slices.DeleteFunc(gotool.SplitFlags(t.Flags), func(flag string) bool { return slices.Contains(neutralFlags, gotool.FlagName(flag)) })
	return shortHash(fmt.Sprintf("%q %q %q", flags, t.Experiment, t.FIPS140))
}

// neutralFlags are flags of go build that change how it works or what it prints, but
// not what it makes (go help build).
var neutralFlags = []string{"p", "v", "x", "a", "work", "modcacherw"}

// keyWord is the start of a version, in characters that a key may have: the version of
// a custom toolchain may have others.
func keyWord(version string) string {
	word := strings.Map(func(c rune) rune {
		if c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return c
		}
		return '_'
	}, version)
	return word[:min(len(word), 40)]
}

// modules is a hash of the versions and sums of the modules that a build needs. Nothing
// else in go.mod files changes compiled packages of other modules.
func (p *Plan) modules(ctx context.Context) (string, error) {
	var lines []string
	t, g := p.Go, gotool.Go{Dir: p.Dir}
	mods := []string{t.Module}
	for _, c := range p.Compiles {
		if mod := filepath.Join(p.ModuleDir(c), "go.mod"); c.Module != "" && !slices.Contains(mods, mod) {
			mods = append(mods, mod)
		}
	}
	if t.Workspace != "" && t.Workspace != "off" {
		work, err := g.Workspace(ctx, t.Workspace)
		if err != nil {
			return "", err
		}
		lines = append(lines, work.Replaces...)
		mods = nil
		for _, dir := range work.Dirs {
			mods = append(mods, filepath.Join(dir, "go.mod"))
		}
		if err := addLines(&lines, t.Workspace+".sum", filepath.Join(filepath.Dir(t.Workspace), "vendor", "modules.txt")); err != nil {
			return "", err
		}
	}
	for _, mod := range mods {
		if mod == "" || mod == os.DevNull {
			continue
		}
		requirements, err := g.Requirements(ctx, mod)
		if err != nil {
			return "", err
		}
		lines = append(lines, requirements...)
		if err := addLines(&lines, strings.TrimSuffix(mod, ".mod")+".sum", filepath.Join(filepath.Dir(mod), "vendor", "modules.txt")); err != nil {
			return "", err
		}
	}
	slices.Sort(lines)
	return shortHash(fmt.Sprintf("%q", slices.Compact(lines))), nil
}

// addLines adds the lines of the files that exist.
func addLines(to *[]string, files ...string) error {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			*to = append(*to, strings.TrimSpace(line)) // git may write CRLF
		}
	}
	return nil
}
