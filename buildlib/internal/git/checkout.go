package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// State is the state of a checkout as git status prints it. The zero value is no
// checkout.
type State struct {
	Top      string   // the repository's folder, links resolved
	Revision string   // the commit's hash; empty on an unborn branch
	Branch   string   // empty if HEAD is detached
	Changed  []string // the tracked files that differ from HEAD, relative to Top
}

// find returns the nearest folder with .git, which is a file in a worktree or submodule,
// from dir upwards. git has to run there: further down it would take a folder that looks
// like a bare repository for the repository.
func find(dir string) (string, bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", false, err
	}
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir, true, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false, nil
		}
		dir = parent
	}
}

// status runs git status with a value for --untracked-files. Untracked folders end in a
// slash.
func status(ctx context.Context, top string, conf config, untrackedFiles string) (s State, untracked []string, err error) {
	s.Top = top
	out, err := output(ctx, top, append(slices.Clone(conf.overrides),
		"status", "--porcelain=v2", "--branch", "--untracked-files="+untrackedFiles, "--no-renames", "-z")...)
	if err != nil {
		return s, nil, err
	}
	for line := range strings.SplitSeq(string(out), "\x00") {
		kind, rest, _ := strings.Cut(line, " ")
		key, value, _ := strings.Cut(rest, " ")
		switch {
		case kind == "#" && key == "branch.oid" && value != "(initial)":
			s.Revision = value
		case kind == "#" && key == "branch.head" && value != "(detached)":
			s.Branch = value
		case kind == "1" || kind == "u":
			// Before the path there are 7 more fields, and 9 of an unmerged one.
			n := map[string]int{"1": 8, "u": 10}[kind]
			if f := strings.SplitN(rest, " ", n); len(f) == n {
				s.Changed = append(s.Changed, f[n-1])
			}
		case kind == "?":
			untracked = append(untracked, rest)
		}
	}
	return s, untracked, nil
}

// Changes reads the checkout again and says what has changed: HEAD, the branch, or which
// tracked files differ from HEAD. Files in the folder except are ignored. A repository
// without a commit has no changes.
func Changes(ctx context.Context, was State, except string) ([]string, error) {
	if was.Top == "" || was.Revision == "" {
		return nil, nil
	}
	conf, err := readConfig(ctx, was.Top)
	if err != nil {
		return nil, err
	}
	now, _, err := status(ctx, was.Top, conf, "no")
	if err != nil {
		return nil, err
	}
	var changes []string
	if now.Revision != was.Revision {
		changes = append(changes, fmt.Sprintf("HEAD (it was %.12s, and is %.12s)", was.Revision, now.Revision))
	} else if now.Branch != was.Branch {
		changes = append(changes, fmt.Sprintf("the branch (it was %q, and is %q)", was.Branch, now.Branch))
	}
	if resolved, err := filepath.EvalSymlinks(except); err == nil {
		except = resolved
	}
	for _, pair := range [][2][]string{{now.Changed, was.Changed}, {was.Changed, now.Changed}} {
		for _, name := range pair[0] {
			path := filepath.Join(was.Top, filepath.FromSlash(name))
			if !slices.Contains(pair[1], name) && !disk.Inside(path, except) {
				changes = append(changes, path)
			}
		}
	}
	return changes, nil
}

// Excluded returns the paths in the repository at top that git ignores and doesn't track.
func Excluded(ctx context.Context, top string, paths []string) ([]string, error) {
	return ignored(ctx, top, paths)
}

// Unignored returns the names in the folder dir that git doesn't ignore, whether it
// tracks them or not. It returns none without a checkout or if git fails.
func Unignored(ctx context.Context, dir string, names []string) []string {
	if _, ok, err := find(dir); err != nil || !ok {
		return nil
	}
	list, err := ignored(ctx, dir, names, "--no-index")
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(list, name) })
}

// ignored returns the paths that git check-ignore prints in dir.
func ignored(ctx context.Context, dir string, paths []string, flags ...string) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	cmd := command(ctx, dir, append([]string{"check-ignore", "--stdin", "-z"}, flags...)...)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := run(cmd, "check-ignore")
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), allowNotFound(err)
}

// Unwatched returns the paths in the repository at top whose changes git doesn't look
// for, because of git update-index --assume-unchanged or --skip-worktree.
func Unwatched(ctx context.Context, top string, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	out, err := output(ctx, top, "ls-files", "-v", "-z")
	if err != nil {
		return nil, err
	}
	marked := map[string]bool{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		// TAG SPACE NAME: a lower-case tag means assume-unchanged, S skip-worktree.
		if tag, name, ok := strings.Cut(entry, " "); ok && (tag == "S" || tag != strings.ToUpper(tag)) {
			marked[filepath.Join(top, filepath.FromSlash(name))] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return !marked[path] }), nil
}
