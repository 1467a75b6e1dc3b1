package modcache

import (
	"archive/tar"
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes what s is the hash of, the same from every folder: a go.mod as it is,
// a module as a tar archive of its files. Anything else in the folder is an error.
func (f Folder) Write(s Sum, w io.Writer) error {
	if s.Of != Tree {
		path, read := f.small(s)
		data, err := os.ReadFile(path)
		if err == nil {
			data, err = read(data)
		}
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	var files tree
	dir, t := f.dir(s), tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		files = append(files, file{s.name() + "/" + name, sha256.Sum256(data)})
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o444, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	})
	if err == nil {
		err = s.check(files)
	}
	if err != nil {
		return err
	}
	return t.Close()
}
