package gotool

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
)

// moduleVersion is a module as go.mod names it. Without Version, it is any version.
type moduleVersion struct{ Path, Version string }

func (v moduleVersion) String() string { return v.Path + "@" + v.Version }

// replacement is a replace directive. Without New.Version, New is a folder.
type replacement struct{ Old, New moduleVersion }

// String leaves out where the folder is: it may be elsewhere on another machine, and
// what it holds is source like the module's own.
func (r replacement) String() string {
	if r.New.Version == "" {
		return r.Old.String() + " => a folder"
	}
	return r.Old.String() + " => " + r.New.String()
}

// Requirements are the modules that a go.mod requires, and its replacements, as
// sorted lines. They say nothing of its own module, or of how it is written.
func (g Go) Requirements(ctx context.Context, gomod string) ([]string, error) {
	var mod struct {
		Require []moduleVersion
		Replace []replacement
	}
	if err := g.edit(ctx, "mod", gomod, &mod); err != nil {
		return nil, err
	}
	var lines []string
	for _, m := range mod.Require {
		lines = append(lines, m.String())
	}
	for _, r := range mod.Replace {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return lines, nil
}

// Workspace is what a go.work says.
type Workspace struct {
	Dirs     []string // of its modules, absolute
	Replaces []string // as in Requirements
}

// Workspace reads a go.work.
func (g Go) Workspace(ctx context.Context, gowork string) (Workspace, error) {
	var work struct {
		Use     []struct{ DiskPath string }
		Replace []replacement
	}
	if err := g.edit(ctx, "work", gowork, &work); err != nil {
		return Workspace{}, err
	}
	var w Workspace
	for _, use := range work.Use {
		dir := filepath.FromSlash(use.DiskPath)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(gowork), dir)
		}
		w.Dirs = append(w.Dirs, dir)
	}
	for _, r := range work.Replace {
		w.Replaces = append(w.Replaces, r.String())
	}
	return w, nil
}

// edit has go parse a go.mod or go.work, which needs no network.
func (g Go) edit(ctx context.Context, kind, file string, into any) error {
	out, err := g.output(ctx, nil, kind, "edit", "-json", file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("go %s edit: %w", kind, err)
	}
	return nil
}
