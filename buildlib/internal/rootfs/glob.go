package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Glob returns the files and folders below root that the source rel matches, and
// whether it is a pattern, as in path.Match. If there is a file with that very name,
// such as [id].html, it is not a pattern. Matches that images never take in, or that
// .dockerignore excludes, are left out. If nothing matches, the error is an
// fs.ErrNotExist.
func (g Ignore) Glob(root *os.Root, rel string) (list []string, pattern bool, err error) {
	rel = filepath.ToSlash(rel)
	if _, err := root.Lstat(filepath.FromSlash(rel)); err == nil || !strings.ContainsAny(rel, "*?[") {
		return []string{rel}, false, nil
	}
	if strings.Contains(rel, "**") {
		return nil, true, errors.New("has **, which matches no more than * does: name the folder, and exclude in .dockerignore what is to stay out")
	}
	found, err := fs.Glob(root.FS(), rel)
	if err != nil {
		return nil, true, fmt.Errorf("is not a pattern: %w (path.Match has the syntax)", err)
	}
	excluded := "" // the last one
	for _, match := range found {
		if g.Check(root.Name(), filepath.FromSlash(match)) != nil {
			continue
		}
		info, err := root.Stat(filepath.FromSlash(match))
		if err != nil {
			return nil, true, fmt.Errorf("matches a link that is absolute, leaves the project, or leads nowhere: %w", err)
		}
		if _, err := root.Stat(filepath.FromSlash(path.Join(match, outputMark))); err == nil {
			continue // the output of another run
		}
		if g.Excluded(match, info.IsDir()) != "" {
			excluded = match
			continue
		}
		list = append(list, match)
	}
	switch {
	case len(list) > 0:
		return list, true, nil
	case excluded != "":
		return nil, true, g.nothing(excluded)
	}
	return nil, true, fs.ErrNotExist
}

// nothing is the error of a source of which .dockerignore excludes all. excluded is an
// example.
func (g Ignore) nothing(excluded string) error {
	return fmt.Errorf(".dockerignore leaves nothing of it: %q excludes %s", g.pattern(excluded), excluded)
}

// ManyInOne is the error of a pattern that matches several files although Path names
// a single one.
func ManyInOne(list []string, p string) error {
	return fmt.Errorf("matches %d files (%s, %s, ...), and the Path %s is one: write %s/ for the folder they go into", len(list), list[0], list[1], p, p)
}
