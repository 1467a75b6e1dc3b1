package packages

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// Entry is one path of the file system that packages set.
type Entry struct {
	Path   string            `json:"path"` // absolute and clean
	Type   byte              `json:"type"` // tar.TypeReg, TypeDir, TypeSymlink or TypeLink; Removed
	Mode   int64             `json:"mode,omitempty"`
	UID    int               `json:"uid,omitempty"`
	GID    int               `json:"gid,omitempty"`
	Link   string            `json:"link,omitempty"`   // a symbolic link's target; a hard link's is a Path
	Xattrs map[string][]byte `json:"xattrs,omitempty"` // by name, as in xattr(7)
	Size   int64             `json:"size,omitempty"`   // of a file, in bytes
	SHA256 string            `json:"sha256,omitempty"` // of its content
	at     int64             // where its content is in the spool
}

// Removed is the Type of a path of the base that the packages take away.
const Removed = 0

// Limits of what packages may bring, far above what real ones do.
const (
	maxEntries = 1_000_000
	maxBytes   = 16 << 30
)

// Contents are the paths that packages set, with the content of all files in one
// temporary file. Close them.
type Contents struct {
	spool   *os.File
	end     int64
	entries map[string]*Entry
}

// NewContents returns empty Contents with a temporary file in the folder dir.
func NewContents(dir string) (*Contents, error) {
	f, err := os.CreateTemp(dir, "packages-")
	if err != nil {
		return nil, err
	}
	return &Contents{spool: f, entries: map[string]*Entry{}}, nil
}

// Close removes the temporary file.
func (c *Contents) Close() error {
	return errors.Join(c.spool.Close(), os.Remove(c.spool.Name()))
}

// Get returns what is set at the path p.
func (c *Contents) Get(p string) (*Entry, bool) {
	e, ok := c.entries[p]
	return e, ok
}

// Add sets e. If it is a regular file, r is its content.
func (c *Contents) Add(e Entry, r io.Reader) error {
	if e.Type == tar.TypeReg {
		e.at = c.end
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(c.spool, sum), io.LimitReader(r, maxBytes-c.end+1))
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if c.end += n; c.end > maxBytes {
			return fmt.Errorf("%s: the packages have more than %d GB", e.Path, maxBytes>>30)
		}
		e.Size, e.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	}
	if len(c.entries) >= maxEntries {
		return fmt.Errorf("%s: the packages have more than %d files", e.Path, maxEntries)
	}
	c.entries[e.Path] = &e
	return nil
}

// Text sets a regular file, owned by root.
func (c *Contents) Text(p string, mode int64, text string) error {
	return c.Add(Entry{Path: p, Type: tar.TypeReg, Mode: mode}, strings.NewReader(text))
}

// Symlink sets a symbolic link.
func (c *Contents) Symlink(p, target string) error {
	return c.Add(Entry{Path: p, Type: tar.TypeSymlink, Mode: 0o777, Link: target}, nil)
}

// Default sets a directory or a link, unless its path is set.
func (c *Contents) Default(e Entry) {
	if _, ok := c.entries[e.Path]; !ok {
		c.entries[e.Path] = &e
	}
}

// Entries returns all, parents before what is in them.
func (c *Contents) Entries() []Entry {
	list := make([]Entry, 0, len(c.entries))
	for _, e := range c.entries {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// Open returns the content of a file.
func (c *Contents) Open(e Entry) io.Reader { return io.NewSectionReader(c.spool, e.at, e.Size) }

// CleanPath returns the absolute path of a name in an archive. A name with .. is
// an error.
func CleanPath(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("path %.200q has a .. in it", name)
	}
	return path.Clean("/" + name), nil
}
