package rootfs

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// Entry is one path that packages of a distribution set.
type Entry struct {
	Path     string // absolute and clean
	Type     byte   // tar.TypeDir, TypeReg, TypeSymlink or TypeLink; 0: the base's is removed
	Mode     int64
	UID, GID int
	Link     string // a symbolic link's target; a hard link's is a path
	Xattrs   map[string][]byte
	Size     int64   // of a file, in bytes
	Digest   v1.Hash // sha256 of its content
	Open     func() (io.ReadCloser, error)
	// Data is the content of an account file (/etc/passwd, /etc/group,
	// /etc/shadow), which the image's user is added to.
	Data []byte
}

func (e Entry) change() change {
	c := change{Path: e.Path, Type: e.Type, Mode: e.Mode, UID: e.UID, GID: e.GID, Link: e.Link, Size: e.Size, Digest: e.Digest, Source: "a package's " + e.Path, Open: e.Open}
	if len(e.Xattrs) > 0 {
		c.Xattrs = map[string]string{}
	}
	for name, value := range e.Xattrs {
		c.Xattrs[name] = string(value)
	}
	return c
}

// addPackages adds the files of packages. As with a package manager, links on the
// path of a file are followed, and directories of the base stay.
func addPackages(to *fileSystem, entries []Entry) error {
	links := map[string]string{} // hard links and what they name, by path
	for _, e := range entries {
		c := e.change()
		var err error
		switch c.Type {
		case tar.TypeDir:
			err = to.mkdir(c)
		case tar.TypeLink:
			if c.Link, err = to.tree.Resolve(c.Link); err == nil {
				if c.Path, err = to.tree.Resolve(c.Path); err == nil {
					links[c.Path] = c.Link
				}
			}
		case 0:
			if c.Path, err = to.tree.Resolve(c.Path); err == nil {
				to.remove(c.Path)
			}
		default:
			err = to.put(c, "")
			if e.Data != nil && err == nil {
				to.tree.Files = maps.Clone(to.tree.Files)
				if to.tree.Files == nil {
					to.tree.Files = map[string][]byte{}
				}
				resolved, _ := to.tree.Resolve(c.Path)
				to.tree.Files[resolved] = e.Data
			}
		}
		if err != nil {
			return fmt.Errorf("packages: %w", err)
		}
	}
	names := map[string][]string{} // of each file, by its path
	for _, p := range slices.Sorted(maps.Keys(links)) {
		file := links[p]
		for range links { // to the end of a chain; a circle of links has no file
			next, ok := links[file]
			if !ok {
				break
			}
			file = next
		}
		names[file] = append(names[file], p)
	}
	for _, file := range slices.Sorted(maps.Keys(names)) {
		if err := to.hardLinks(file, names[file]); err != nil {
			return fmt.Errorf("packages: %w", err)
		}
	}
	return nil
}

// hardLinks adds further names of the file at target. A layer's entries are in
// the order of their paths, and the first must be the file.
func (r *fileSystem) hardLinks(target string, names []string) error {
	file, ok := r.changes[target]
	if !ok || file.Type != tar.TypeReg {
		return fmt.Errorf("%s: is a hard link to %s, which isn't there", names[0], target)
	}
	for _, name := range names {
		if err := checkPath(name); err != nil {
			return err
		}
	}
	names = append(names, target)
	slices.Sort(names)
	for i, name := range names {
		c := file
		if c.Path = name; i > 0 {
			c.Type, c.Link, c.Size, c.Open = tar.TypeLink, names[0][1:], 0, nil
		}
		r.parents(name)
		r.changes[name] = c
		r.tree.Nodes[name] = filetree.Node{Type: tar.TypeReg, Mode: c.Mode, UID: c.UID, GID: c.GID}
	}
	return nil
}

// remove removes what the base has at p by a whiteout (OCI image spec, layer.md,
// "Whiteouts").
func (r *fileSystem) remove(p string) {
	if n, ok := r.tree.Node(p); !ok || n.Type == tar.TypeDir {
		return
	}
	c := textFile(path.Join(path.Dir(p), ".wh."+path.Base(p)), 0o644, nil, "a whiteout")
	r.changes[c.Path] = c
}
