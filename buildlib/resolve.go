package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/rootfs"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Plan resolves p with the changes of o into a Plan. It runs the go command to find
// main packages, and git for the version; it contacts no registry. The error has all of
// the Project's mistakes, each with its field, its value and how to fix it. If the only
// mistakes are Sources of Files that don't exist, Plan succeeds, and the stages that
// read them fail.
func (p Project) Plan(ctx context.Context, o Overrides) (*Plan, error) {
	r, err := p.resolve(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	if !r.plan.Dirty {
		if untracked := r.plan.untracked(ctx, r.git.Untracked); len(untracked) > 0 {
			if r, err = p.resolve(ctx, o, untracked); err != nil {
				return nil, err
			}
		}
	}
	return r.plan, nil
}

// resolve is Plan. untracked are the untracked files that make the checkout dirty.
func (p Project) resolve(ctx context.Context, o Overrides, untracked []string) (*resolver, error) {
	r, err := newResolver(ctx, p, o)
	if err != nil {
		return nil, err
	}
	if err := r.query(ctx); err != nil {
		return nil, err
	}
	if len(untracked) > 0 {
		r.git.Dirty = true
		if r.git.Version != "" {
			r.git.Version += "-dirty"
		}
		r.warn("the checkout counts as changed: git doesn't track %s, which go compiles in: commit it", wording.List(untracked, 5))
	}
	r.settleFacts()
	before := len(r.mistakes)
	wanted := first(r.overrides.Platforms, r.project.Platforms, defaultPlatforms)
	if len(wanted) == 0 {
		r.mistake(r.listField("Platforms", r.overrides.Platforms), "it is empty, so nothing would be built: name some, or leave it unset for %s", strings.Join(defaultPlatforms, ", "))
	}
	r.defaults = r.parsePlatforms(r.listField("Platforms", r.overrides.Platforms), wanted)
	for i, host := range p.Insecure {
		if host == "" || strings.ContainsAny(host, "/ @") {
			r.mistake(fmt.Sprintf("Insecure[%d]", i), "%q is not a valid registry: want HOST or HOST:PORT", host)
		}
	}
	r.compression()
	r.buildCache()
	r.runners()
	binaries, err := r.binaries(ctx)
	if err != nil {
		return nil, err
	}
	r.unsure = len(r.mistakes) > before
	r.warnOfGOFLAGS(binaries)
	r.compiles(binaries)
	r.images(binaries)
	r.evidence()
	r.renderings()
	r.bench(binaries)
	r.smoke()
	r.allowAbsent()
	if len(r.mistakes) > 0 {
		slices.SortStableFunc(r.mistakes, inFieldOrder)
		return nil, errors.Join(r.mistakes...)
	}
	return r, nil
}

// newResolver finds the folders.
func newResolver(ctx context.Context, p Project, o Overrides) (*resolver, error) {
	r := &resolver{project: p, overrides: o, badTemplates: map[string]bool{}}
	r.refuseTemplates()
	if r.badTemplates["Dir"] || r.badTemplates["Output"] { // without them nothing else can be checked
		return nil, errors.Join(r.mistakes...)
	}
	dir, err := filepath.Abs(cmp.Or(p.Dir, "."))
	if err != nil {
		return nil, fmt.Errorf("Dir: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("Dir: %q is not a folder: name the folder of the Go module, relative to %s", p.Dir, workdir())
	}
	output := filepath.Clean(absolute(dir, cmp.Or(o.Output, p.Output, "dist")))
	if disk.Inside(dir, output) {
		return nil, fmt.Errorf("Output: %q holds the project itself: name a folder of its own, like dist", cmp.Or(o.Output, p.Output))
	}
	if slices.Contains(strings.Split(filepath.ToSlash(output), "/"), ".git") {
		return nil, fmt.Errorf("Output: %q is in a folder of git: name another, like dist", cmp.Or(o.Output, p.Output))
	}
	cache, err := cacheFolder(o.Cache)
	if err != nil {
		return nil, err
	}
	if cache == dir {
		return nil, fmt.Errorf("the cache: %q is the project itself: set Overrides.Cache to a folder of its own", cache)
	}
	r.tool = gotool.Go{Dir: dir}
	r.plan = &Plan{
		Dir: dir, Output: output, Cache: cache, Insecure: p.Insecure, AllowDirty: o.AllowDirty,
		Limits: Limits{Platforms: o.Platforms != nil, Images: o.Images},
	}
	return r, nil
}

// cacheFolder is the absolute path of the folder for bases and layers.
func cacheFolder(dir string) (string, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the cache: %w: set Overrides.Cache", err)
		}
		dir = filepath.Join(user, "multimage")
	}
	return filepath.Abs(dir)
}

func workdir() string {
	wd, err := os.Getwd()
	if err != nil {
		return "the working folder"
	}
	return wd
}

// query asks go and git at the same time.
func (r *resolver) query(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		r.env, err = r.tool.Env(gctx)
		return err
	})
	g.Go(func() (err error) {
		r.ports, err = r.tool.Ports(gctx)
		return err
	})
	g.Go(func() error { return r.checkout(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	r.plan.Go = Toolchain{
		Version: r.env.Version, Flags: r.env.Flags, Root: r.env.Root,
		Experiment: r.env.Experiment, FIPS140: r.env.FIPS140,
		Module: r.env.Mod, Workspace: r.env.Work, ModCache: r.env.ModCache,
	}
	r.plan.Checkout = Checkout{Folder: r.git.State.Top, Branch: r.git.Branch, Changed: r.git.State.Changed}
	return nil
}

// runners checks Project.Runners and normalizes their platforms.
func (r *resolver) runners() {
	for _, key := range slices.Sorted(maps.Keys(r.project.Runners)) {
		field, label := fmt.Sprintf("Runners[%q]", key), r.project.Runners[key]
		p, err := parsePlatform(key, r.ports)
		if err != nil {
			r.check(field, err)
			continue
		}
		if strings.TrimSpace(label) == "" || strings.ContainsAny(label, "\r\n") {
			r.mistake(field, "%q is not a valid runner label: want one like ubuntu-24.04-arm", label)
			continue
		}
		if other, ok := r.plan.Runners[p]; ok && other != label {
			r.mistake(field, "%s has two runners, %q and %q: name it once", p, other, label)
			continue
		}
		if r.plan.Runners == nil {
			r.plan.Runners = map[Platform]string{}
		}
		r.plan.Runners[p] = label
	}
}

// defaultEvidence lists the documents that images get by default.
var defaultEvidence = []string{evidence.KindSBOM, evidence.KindProvenance}

// evidence determines the documents about images, and who signs them.
func (r *resolver) evidence() {
	kinds := first(r.overrides.Evidence, r.project.Evidence, defaultEvidence)
	field := r.listField("Evidence", r.overrides.Evidence)
	for i, kind := range kinds {
		if !slices.Contains(evidence.Kinds, kind) {
			r.mistake(fmt.Sprintf("%s[%d]", field, i), "%q is not a kind of evidence: want %s%s", kind, strings.Join(evidence.Kinds, ", "), didYouMean(kind, evidence.Kinds))
		}
	}
	for _, kind := range duplicates(kinds) {
		r.mistake(field, "%q is named twice", kind)
	}
	r.plan.Evidence, r.plan.BuiltBy = kinds, builtBy(os.Getenv)
	r.plan.Sign = cmp.Or(r.overrides.Sign, r.project.Sign)
	if keyFile(r.plan.Sign) {
		r.plan.Sign = absolute(r.plan.Dir, r.plan.Sign)
	}
}

// builtBy names the builder for provenance: the workflow, if a CI system names one. This
// is only what the machine claims.
func builtBy(env func(string) string) string {
	switch {
	case env("GITHUB_ACTIONS") == "true" && env("GITHUB_WORKFLOW_REF") != "":
		workflow, _, _ := strings.Cut(env("GITHUB_WORKFLOW_REF"), "@") // the commit is a dependency
		return env("GITHUB_SERVER_URL") + "/" + workflow
	case env("GITLAB_CI") == "true" && env("CI_CONFIG_REF_URI") != "":
		config, _, _ := strings.Cut(env("CI_CONFIG_REF_URI"), "@")
		return "https://" + config
	}
	return "https://github.com/multimage/multimage/blob/main/README.md#some-machine"
}

// compression determines how layers are compressed.
func (r *resolver) compression() {
	if c := r.project.Compression; c != "" && !slices.Contains(rootfs.Compressions, c) {
		r.mistake("Compression", "%q is not a compression of layers: want %s", c, strings.Join(rootfs.Compressions, " or "))
	}
	r.plan.Compression = r.project.Compression
}

// buildCache determines the repository of the build cache.
func (r *resolver) buildCache() {
	r.plan.BuildCache = r.repository("BuildCache", r.overrides.BuildCache, r.project.BuildCache, "ghcr.io/acme/cache")
}

// Values of Sign that aren't the file of a key.
const (
	signKeyless = "keyless"
	signEnv     = "env://"
)

// keyFile reports whether sign is the file of a key.
func keyFile(sign string) bool {
	return sign != "" && sign != signKeyless && !strings.HasPrefix(sign, signEnv)
}
