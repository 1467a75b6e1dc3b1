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

// Glob returns the files and folders below root that the source rel names, and
// whether it is a pattern, as path.Match has them: what has that very name is no
// pattern, for files may be called [id].html. What images never take in, and what
// .dockerignore excludes, is not among them. A pattern that nothing matches is an
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
	left := ""
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
			left = match
			continue
		}
		list = append(list, match)
	}
	switch {
	case len(list) > 0:
		return list, true, nil
	case left != "":
		return nil, true, g.nothing(left)
	}
	return nil, true, fs.ErrNotExist
}

// nothing is the error that patterns leave nothing of a source: left, for one,
// they don't.
func (g Ignore) nothing(left string) error {
	return fmt.Errorf(".dockerignore leaves nothing of it: %q excludes %s", g.pattern(left), left)
}

// ManyInOne is the error of a pattern that matches several and whose Path names
// one.
func ManyInOne(list []string, p string) error {
	return fmt.Errorf("matches %d files (%s, %s, ...), and the Path %s is one: write %s/ for the folder they go into", len(list), list[0], list[1], p, p)
}
