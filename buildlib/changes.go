package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// checkInputs is an error if the output folder or the cache would be embedded, and
// warns of files that are left out because cgo is off.
func (w *workspace) checkInputs(all []gotool.Inputs) error {
	p := w.plan
	for _, in := range all {
		if by := in.Embeds(p.Output, "bin/x", "oci/x", "digests/x", "evidence/x", "bench/x", "images.json", ".multimage/x"); by != "" {
			return fmt.Errorf("Output: %s is embedded by package %s (go:embed), so each build would embed the one before: set Output (Overrides.Output) to a folder that no package embeds", p.Output, by)
		}
		if by := in.Embeds(w.options.Cache, "blobs/x", "records/x", "seen/x", "tmp/x"); by != "" {
			return fmt.Errorf("Cache: %s is embedded by package %s (go:embed), so each build would embed the one before: set Cache (Overrides.Cache) to a folder outside the project", w.options.Cache, by)
		}
	}
	if names := withoutCgo(all); len(names) > 0 {
		w.tell(StepWarn, "cgo is off, so files are left out of "+strings.Join(names, ", ")+": what they do is missing, and may fail only when the program runs: look for a pure Go alternative, or name C compilers in Go.CGO")
	}
	return nil
}

// withoutCgo lists the packages that lack files because cgo is off.
func withoutCgo(all []gotool.Inputs) []string {
	var names []string
	for _, in := range all {
		names = append(names, in.Cgo...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// warnOfSources warns of files that are compiled in and that the revision doesn't
// cover.
func (w *workspace) warnOfSources(ctx context.Context, all []gotool.Inputs) error {
	p, top := w.plan, w.plan.Checkout.Folder
	if top == "" || p.Revision == "" {
		return nil
	}
	var own []string // files of the repository
	resolve := resolveFolders()
	outside := map[string]bool{}
	modules := map[string]string{}
	for _, in := range all {
		for dir, s := range in.Packages {
			modules[dir] = cmp.Or(s.Module, s.ImportPath)
		}
	}
	for _, file := range inputFiles(all) {
		if at := resolve(file); disk.Inside(at, top) {
			own = append(own, at)
		} else if module := modules[filepath.Dir(file)]; module != "" {
			outside[module] = true
		} else {
			outside[p.relative(file)] = true
		}
	}
	if len(outside) > 0 {
		w.tell(StepWarn, "compiled in from outside the repository, so the version does not cover it: "+wording.List(slices.Sorted(maps.Keys(outside)), 5))
	}
	for _, unseen := range []struct {
		find func(context.Context, string, []string) ([]string, error)
		text string
	}{
		{git.Excluded, "git ignores what go compiles in"},
		{git.Unwatched, "git is told not to look at what go compiles in (assume-unchanged, skip-worktree)"},
	} {
		files, err := unseen.find(ctx, top, own)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			w.log("can't tell whether %s: %v", unseen.text, err)
		}
		if len(files) > 0 {
			for i, file := range files {
				files[i] = p.relative(file)
			}
			w.tell(StepWarn, fmt.Sprintf("%s, so the version does not cover it: %s", unseen.text, wording.List(files, 5)))
		}
	}
	return nil
}

// unchanged is an error if the source has changed since the plan was made, or since
// go began to read it: then the binaries may differ in source from one platform to
// the next, and from the commit.
func (w *workspace) unchanged(ctx context.Context) error {
	changed, err := w.changes(ctx, w.run.compilation)
	if err != nil || len(changed) == 0 {
		return err
	}
	return errors.New("the source changed during the build, so nothing is published of it: " + wording.List(changed, 5) + ": run again when nothing is changing it")
}

// Stale reports whether the source has changed since the Builder compiled it, or
// the checkout since the plan was made. If so, further stages would fail; a Builder
// of a new Plan builds the current source. A Builder that has compiled nothing yet is
// not stale.
func (b *Builder) Stale(ctx context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range []*compilation{b.run.compilation, b.run.loading} {
		if c == nil {
			continue
		}
		if changed, err := b.changes(ctx, c); err != nil || len(changed) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// changes lists what has changed since the compilation, sorted.
func (b *Builder) changes(ctx context.Context, c *compilation) ([]string, error) {
	p := b.plan
	var changed []string
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		known := map[string]gotool.Input{}
		for i := range c.calls {
			for _, file := range c.calls[i].inputs.Changed(known) {
				changed = append(changed, p.relative(file))
			}
		}
	}()
	state, err := git.Changes(ctx, git.State{Top: p.Checkout.Folder, Revision: p.Revision, Branch: p.Checkout.Branch, Changed: p.Checkout.Changed}, p.Output)
	<-looked
	if err != nil {
		return nil, err
	}
	for _, what := range state {
		if filepath.IsAbs(what) {
			what = p.relative(what)
		}
		changed = append(changed, what)
	}
	slices.Sort(changed)
	return slices.Compact(changed), nil
}
