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
	Writable bool // whether folders of modules stay so, as with -modcacherw
}

// dir is where go unpacks the module.
func (f Folder) dir(s Sum) string {
	return filepath.Join(f.Path, filepath.FromSlash(escape(s.Path)+"@"+escape(s.Version)))
}

// beside is the path of a file that go keeps of a module.
func (f Folder) beside(s Sum, suffix string) string {
	return filepath.Join(f.Path, "cache", "download", filepath.FromSlash(escape(s.Path)), "@v", escape(s.Version)+suffix)
}

const (
	modFile  = ".mod"
	infoFile = ".info"
	hashFile = ".ziphash" // the module's h1, without which go doesn't believe its folder
	lockFile = ".lock"    // held by whoever unpacks it
	// partialFile is there while go unpacks.
	partialFile = ".partial"
)

// Has reports whether go finds there what s is of.
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

// check is an error unless the tree is what s says.
func (s Sum) check(t tree) error {
	if got := t.hash(); got != s.Hash {
		return fmt.Errorf("%s is not what go.sum says: %s", s.name(), got)
	}
	return nil
}

// info reads what a proxy said of the module, and is an error if it is of another. That
// is all that can be checked: go.sum doesn't name it, and go makes nothing of it.
func (s Sum) info(data []byte) ([]byte, error) {
	var said struct {
		Version string
		Time    time.Time
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name(), err)
	}
	if said.Version != s.Version {
		return nil, fmt.Errorf("%s: what is said is of %.50q", s.name(), said.Version)
	}
	return json.Marshal(said)
}

// small is the path of what isn't a tree, and what reads it: an error if it isn't
// what s says.
func (f Folder) small(s Sum) (path string, read func([]byte) ([]byte, error)) {
	if s.Of == Info {
		return f.beside(s, infoFile), s.info
	}
	return f.beside(s, modFile), func(data []byte) ([]byte, error) { return data, s.check(goMod(data)) }
}
