package modcache

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Folder is a GOMODCACHE.
type Folder struct {
	Path     string
	Writable bool // whether folders of modules stay writable, as with -modcacherw
}

// dir is where go unpacks the module.
func (f Folder) dir(s Sum) string {
	return filepath.Join(f.Path, filepath.FromSlash(escape(s.Path)+"@"+escape(s.Version)))
}

// beside is the path of a file that go keeps about a module.
func (f Folder) beside(s Sum, suffix string) string {
	return filepath.Join(f.Path, "cache", "download", filepath.FromSlash(escape(s.Path)), "@v", escape(s.Version)+suffix)
}

const (
	modFile  = ".mod"
	infoFile = ".info"
	hashFile = ".ziphash" // the module's h1, without which go doesn't use its folder
	lockFile = ".lock"    // held while someone unpacks it
	// partialFile is there while go unpacks.
	partialFile = ".partial"
)

// Has reports whether go finds what s is the hash of.
func (f Folder) Has(s Sum) bool {
	switch s.Of {
	case Mod:
		return exists(f.beside(s, modFile))
	case Info:
		return exists(f.beside(s, infoFile))
	}
	return exists(f.dir(s)) && exists(f.beside(s, hashFile)) && !exists(f.beside(s, partialFile))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// check returns an error unless the tree has the hash s.
func (s Sum) check(t tree) error {
	if got := t.hash(); got != s.Hash {
		return fmt.Errorf("%s is not what go.sum says: %s", s.name(), got)
	}
	return nil
}

// info reads a proxy's info about the module, and refuses another version's. That is
// all that can be checked: go.sum has no hash of it, and go builds nothing from it.
func (s Sum) info(data []byte) ([]byte, error) {
	var info struct {
		Version string
		Time    time.Time
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name(), err)
	}
	if info.Version != s.Version {
		return nil, fmt.Errorf("%s: the info is about %.50q", s.name(), info.Version)
	}
	return json.Marshal(info)
}

// small returns the path of a go.mod or info, and a function that reads and checks it.
func (f Folder) small(s Sum) (path string, read func([]byte) ([]byte, error)) {
	if s.Of == Info {
		return f.beside(s, infoFile), s.info
	}
	return f.beside(s, modFile), func(data []byte) ([]byte, error) { return data, s.check(goMod(data)) }
}
