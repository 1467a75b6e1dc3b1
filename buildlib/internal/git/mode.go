package git

import (
	"bytes"
	"context"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Executables returns the files below dir that are executable in git's index, by their
// paths relative to dir, with slashes. It is for file systems without that mode
// (core.fileMode is false, or on Windows); for others, and without git, it returns nil.
func Executables(ctx context.Context, dir string) (map[string]bool, error) {
	top, ok, err := find(dir)
	if err != nil || !ok {
		return nil, err
	}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, nil
	}
	if runtime.GOOS != "windows" {
		mode, err := output(ctx, top, "config", "--type=bool", "--default=true", "core.fileMode")
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// If git fails, Read reports that.
		if err != nil || string(bytes.TrimSpace(mode)) != "false" {
			return nil, nil
		}
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(top, dir)
	if err != nil {
		return nil, err
	}
	files := map[string]bool{}
	return files, addExecutables(ctx, files, top, filepath.ToSlash(rel), "")
}

// addExecutables adds the files of the index at top that are below its folder
// rel, and those of submodules there. Their paths follow prefix.
func addExecutables(ctx context.Context, files map[string]bool, top, rel, prefix string) error {
	args := []string{"ls-files", "--stage", "-z"}
	if rel != "." {
		args = append(args, "--", ":(top,literal)"+rel)
	}
	listed, err := output(ctx, top, args...)
	if err != nil {
		return err
	}
	// MODE SP OBJECT SP STAGE TAB PATH NUL
	for entry := range strings.SplitSeq(string(listed), "\x00") {
		about, name, _ := strings.Cut(entry, "\t")
		mode, _, _ := strings.Cut(about, " ")
		below := strings.TrimPrefix(name, rel+"/")
		switch mode {
		case "100755":
			files[path.Join(prefix, below)] = true
		case "160000":
			sub, ok := submodule(top, name)
			if !ok {
				continue
			}
			if err := addExecutables(ctx, files, sub, ".", path.Join(prefix, below)); err != nil {
				return err
			}
		}
	}
	return nil
}
