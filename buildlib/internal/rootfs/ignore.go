package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
)

// Ignore says what images leave out of a project. Every value, the zero one too,
// leaves out what is private to git and to multimage.
type Ignore struct {
	// Folders are those that builds write, which must not change the next build.
	Folders []Folder
	// Patterns are those of .dockerignore, on paths relative to File.Root.
	Patterns []string
}

// Folder is a folder on this machine and its name in errors.
type Folder struct{ Path, Name string }

// never are names of files and folders that images never take in: .git may hold
// credentials, also in submodules, and is a file in worktrees.
var never = []string{".git", outputMark}

// outputMark is a folder in every output folder of a build.
const outputMark = ".multimage"

func isNever(name string) bool {
	return slices.ContainsFunc(never, func(n string) bool { return strings.EqualFold(n, name) })
}

// Check returns an error if images never take in the source rel, relative to the
// folder root. If it isn't there yet, its name decides.
func (g Ignore) Check(root, rel string) error {
	for _, name := range strings.Split(filepath.ToSlash(rel), "/") {
		if isNever(name) {
			return inside(rel, name, name, fix)
		}
	}
	at := filepath.Join(root, rel)
	if real, err := filepath.EvalSymlinks(at); err == nil {
		if root, err = filepath.EvalSymlinks(root); err != nil {
			return err
		}
		at = real
	}
	for ; len(at) > len(root) && at != filepath.Dir(at); at = filepath.Dir(at) {
		if name := filepath.Base(at); isNever(name) {
			return fmt.Errorf("leads into %s, which images never take in: %s", name, fix)
		}
		for _, f := range g.Folders {
			if f.Path == at || sameFolder(f.Path, at) {
				return inside(rel, f.Path, f.Name, "use another folder for one of the two")
			}
		}
	}
	return nil
}

const fix = "copy what you need of it to another folder"

func inside(rel, folder, name, fix string) error {
	verb := "is in"
	if filepath.Base(rel) == filepath.Base(folder) {
		verb = "is"
	}
	return fmt.Errorf("%s %s, which images never take in: %s", verb, name, fix)
}

func sameFolder(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// pattern returns the pattern that excludes rel.
func (g Ignore) pattern(rel string) string {
	last := ""
	for _, p := range g.Patterns {
		if m, err := patternmatcher.New([]string{p}); err == nil && !m.Exclusions() {
			if ok, err := m.MatchesOrParentMatches(rel); err == nil && ok {
				last = p
			}
		}
	}
	return last
}

// Excluded returns the pattern that excludes the file rel, or the folder rel with all
// that may be in it; or "".
func (g Ignore) Excluded(rel string, folder bool) string {
	m, err := patternmatcher.New(g.Patterns)
	if err != nil || rel == "." || folder && m.Exclusions() {
		return ""
	}
	if ok, err := m.MatchesOrParentMatches(rel); err != nil || !ok {
		return ""
	}
	return g.pattern(rel)
}

// filter applies an Ignore to a walk.
type filter struct {
	ignore  Ignore
	match   *patternmatcher.PatternMatcher
	folders []fs.FileInfo
	last    string // the last path that a pattern excluded
}

func newFilter(g Ignore) (*filter, error) {
	f := &filter{ignore: g}
	for _, folder := range g.Folders {
		if info, err := os.Stat(folder.Path); err == nil {
			f.folders = append(f.folders, info)
		}
	}
	var err error
	f.match, err = patternmatcher.New(g.Patterns)
	return f, err
}

// verdict is whether a path is excluded. The paths in a folder need the folder's.
type verdict struct {
	excluded bool
	below    patternmatcher.MatchInfo
}

// pattern applies .dockerignore to rel.
func (f *filter) pattern(rel string, parent verdict) (verdict, error) {
	if rel == "." || len(f.ignore.Patterns) == 0 {
		return verdict{}, nil
	}
	excluded, info, err := f.match.MatchesUsingParentResults(rel, parent.below)
	if err != nil {
		return verdict{}, fmt.Errorf(".dockerignore: %w", err)
	}
	if excluded {
		f.last = rel
	}
	return verdict{excluded, info}, nil
}

// skips reports whether an entry of a folder is left out whatever .dockerignore says,
// with all that is in it.
func (f *filter) skips(tree fs.FS, rel string, e fs.DirEntry) (bool, error) {
	if isNever(e.Name()) {
		return true, nil
	}
	if !e.IsDir() {
		return false, nil
	}
	info, err := e.Info()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(f.folders, func(folder fs.FileInfo) bool { return os.SameFile(folder, info) }) {
		return true, nil
	}
	// The output of another run, under another name.
	mark, err := fs.Stat(tree, path.Join(rel, outputMark))
	return err == nil && mark.IsDir(), nil
}
