package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MakeFolder makes the folder name below root, with its parents, and returns its path.
// root is the user's, and its path may have symbolic links. What is below it is ours,
// and may not: we would write, truncate and sweep files elsewhere.
func MakeFolder(root, name string) (string, error) {
	path := root
	for _, element := range strings.Split(filepath.Clean(name), string(filepath.Separator)) {
		if element == "." {
			continue
		}
		path = filepath.Join(path, element)
		err := CheckFolder(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = os.Mkdir(path, 0o755); errors.Is(err, fs.ErrExist) {
				err = CheckFolder(path) // another process was faster
			}
		}
		if err != nil {
			return "", err
		}
	}
	return path, nil
}

// CheckFolder returns an error unless path is a folder, and not a link to one. If it
// isn't there, the error is an fs.ErrNotExist.
func CheckFolder(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link, which is not followed: remove it", path)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder: move it away", path)
	}
	return nil
}

// Inside reports whether path is dir or below it. It looks at their names only.
func Inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
