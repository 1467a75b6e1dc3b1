package buildlib

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// build returns c for package gotool.
func (p *Plan) build(c Compile, temp string) gotool.Build {
	b := gotool.Build{Env: c.Env, Args: c.Args, Folder: p.kept(c), Temp: temp}
	for _, m := range c.Mains {
		b.Mains = append(b.Mains, gotool.Main{Package: m.Package, File: m.File})
	}
	return b
}

// ModuleDir is the absolute path of the folder in which go builds c.
func (p *Plan) ModuleDir(c Compile) string { return filepath.Join(p.Dir, filepath.FromSlash(c.Module)) }

// inputs returns the current inputs of each of the plan's Compiles.
func (p *Plan) inputs(ctx context.Context) ([]gotool.Inputs, error) {
	all := make([]gotool.Inputs, len(p.Compiles))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(4, runtime.NumCPU()))
	for i, c := range p.Compiles {
		g.Go(func() (err error) {
			env := p.Go.env()
			if c.Module != "" {
				env.Mod = filepath.Join(p.ModuleDir(c), "go.mod")
			}
			all[i], err = gotool.Go{Dir: p.ModuleDir(c)}.Inputs(ctx, p.build(c, ""), env)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", c.Platform, packagesOf(c.Mains), err)
			}
			return nil
		})
	}
	return all, g.Wait()
}

// env is the go command's environment as it was when the plan was made.
func (t Toolchain) env() gotool.Env {
	return gotool.Env{
		Version: t.Version, Root: t.Root, Mod: t.Module, Work: t.Workspace, Flags: t.Flags,
		Experiment: t.Experiment, FIPS140: t.FIPS140, ModCache: t.ModCache,
	}
}

// untracked returns the files that go compiles in and git neither tracks nor ignores.
// all are the untracked files and folders. If go can't list its inputs, the compile will
// report why.
func (p *Plan) untracked(ctx context.Context, all []string) []string {
	var folders []string
	for _, path := range all {
		if !disk.Inside(path, p.Output) && !strings.HasSuffix(path, "_test.go") {
			folders = append(folders, path)
		}
	}
	if len(folders) == 0 {
		return nil
	}
	inputs, err := p.inputs(ctx)
	if err != nil {
		return nil
	}
	var found []string
	resolve := resolveFolders()
	for _, file := range inputFiles(inputs) {
		if slices.ContainsFunc(folders, func(folder string) bool { return disk.Inside(resolve(file), folder) }) {
			found = append(found, p.relative(file))
		}
	}
	return found
}

// inputFiles returns the input files that exist, sorted.
func inputFiles(all []gotool.Inputs) []string {
	var list []string
	for _, in := range all {
		for file, is := range in.Files {
			if is.Identity.Size > 0 || is.Identity.Modified != 0 {
				list = append(list, file)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// relative is path relative to the project.
func (p *Plan) relative(path string) string {
	dir := p.Dir
	if !disk.Inside(path, dir) {
		dir, path = resolved(dir), resolved(path)
	}
	if rel, err := filepath.Rel(dir, path); err == nil {
		return rel
	}
	return path
}

// resolved is path with its links resolved. Of a path that doesn't exist, only the
// folder's are.
func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// resolveFolders returns a function that resolves the links above a file, once
// per folder.
func resolveFolders() func(string) string {
	known := map[string]string{}
	return func(file string) string {
		dir := filepath.Dir(file)
		if _, ok := known[dir]; !ok {
			known[dir] = resolved(dir)
		}
		return filepath.Join(known[dir], filepath.Base(file))
	}
}

// kept is the folder that go builds c's mains into.
func (p *Plan) kept(c Compile) string {
	return filepath.Join(p.private("kept"), filepath.FromSlash(c.Folder))
}
