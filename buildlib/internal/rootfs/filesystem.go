package rootfs

import (
	"archive/tar"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// fileSystem is the file system of an image while its layers are made, one after the
// other. Each adds its changes, and take returns them.
type fileSystem struct {
	tree    *filetree.Tree
	changes map[string]change // of the current layer
	owner   map[string]string // who put the file at a path that nobody else may set
	implied map[string]bool   // directories that the current layer has because something is below them
}

// newFileSystem returns the file system of the base; nil is scratch.
func newFileSystem(base *filetree.Tree) *fileSystem {
	return &fileSystem{tree: base.Over(), changes: map[string]change{}, owner: map[string]string{}, implied: map[string]bool{}}
}

// take returns the layer's changes in the order of their paths, parents before
// children, and starts the next layer. Directories above a change are included with
// their present mode and owner: Docker's overlay2 and Podman unpack each layer into a
// folder of its own, where a missing parent becomes root's, 0755, and hides the one
// below. The root itself, which is the engine's, is not.
func (r *fileSystem) take() []change {
	for _, p := range slices.Collect(maps.Keys(r.changes)) {
		for d := path.Dir(p); d != "/"; d = path.Dir(d) {
			if _, ok := r.changes[d]; ok {
				break // its own turn adds those above
			}
			n, _ := r.tree.Node(d)
			r.changes[d] = change{Path: d, Type: n.Type, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs}
		}
	}
	list := slices.SortedFunc(maps.Values(r.changes), byPath)
	r.changes, r.implied = map[string]change{}, map[string]bool{}
	return list
}

func byPath(a, b change) int { return strings.Compare(a.Path, b.Path) }

// mkdir makes sure that there is a directory at c.Path, and follows links. An
// existing directory stays as it is, unless this layer has it only because something
// is below it.
func (r *fileSystem) mkdir(c change) error {
	_, _, err := r.dir(c)
	return err
}

// dir is mkdir, and returns where the directory is, and its node if it was there
// before.
func (r *fileSystem) dir(c change) (resolved string, was *filetree.Node, err error) {
	if err := checkPath(c.Path); err != nil {
		return "", nil, err
	}
	resolved, err = r.tree.Follow(c.Path)
	if err != nil {
		return "", nil, err
	}
	if resolved == "/" {
		return resolved, &filetree.Node{Type: tar.TypeDir, Mode: 0o755}, nil
	}
	if n, ok := r.tree.Node(resolved); ok {
		if n.Type != tar.TypeDir {
			return "", nil, fmt.Errorf("%s: is a file in the image, not a folder", c.Path)
		}
		if !r.implied[resolved] {
			return resolved, &n, nil
		}
		delete(r.implied, resolved)
	}
	c.Path = resolved
	r.parents(resolved)
	r.add(c)
	return resolved, nil, nil
}

// setdir makes c.Path a directory with c's owner and mode, also if it is there
// already. A zero mode, or an owner of 0:0, then leaves the present one.
func (r *fileSystem) setdir(c change) error {
	want := c
	want.Mode = cmp.Or(c.Mode, 0o755)
	resolved, was, err := r.dir(want)
	if err != nil || was == nil || resolved == "/" {
		return err
	}
	want.Mode = cmp.Or(c.Mode, was.Mode)
	if c.UID == 0 && c.GID == 0 {
		want.UID, want.GID = was.UID, was.GID
	}
	if want.Mode == was.Mode && want.UID == was.UID && want.GID == was.GID {
		return nil
	}
	want.Path, want.Xattrs = resolved, was.Xattrs
	r.add(want)
	return nil
}

// put sets the file or link c. Links among the parents are followed. A link at c.Path
// itself is replaced, as COPY of a Dockerfile does, unless it leads to a directory:
// replacing /bin would lose all that is in it. by is who sets the file, and it is an
// error if somebody else has. With an empty by, a later layer may replace the file.
func (r *fileSystem) put(c change, by string) error {
	if err := checkPath(c.Path); err != nil {
		return err
	}
	resolved, err := r.tree.Resolve(c.Path)
	if err != nil {
		return err
	}
	if _, n, ok := r.tree.Lookup(c.Path); ok && n.Type == tar.TypeDir {
		at, _ := r.tree.Node(resolved)
		if c.Type != tar.TypeSymlink || at.Type != tar.TypeSymlink || at.Link != c.Link {
			return fmt.Errorf("%s: is a folder in the image; a file cannot replace it (%s/ puts one into it)", c.Path, strings.TrimSuffix(c.Path, "/"))
		}
	}
	if other, ok := r.owner[resolved]; ok {
		return fmt.Errorf("%s: %s is already there", c.Path, other)
	}
	if by != "" {
		r.owner[resolved] = by
	}
	c.Path = resolved
	r.parents(resolved)
	r.add(c)
	return nil
}

// has reports whether there is a file at p that nobody else may set.
func (r *fileSystem) has(p string) bool {
	resolved, _, ok := r.tree.Lookup(p)
	return ok && r.owner[resolved] != ""
}

// parents makes the directories above p that aren't there.
func (r *fileSystem) parents(p string) {
	for d := path.Dir(p); d != "/"; d = path.Dir(d) {
		if _, ok := r.tree.Node(d); ok {
			return
		}
		r.add(directory(d, 0o755, 0, 0))
		r.implied[d] = true
	}
}

func (r *fileSystem) add(c change) {
	r.changes[c.Path] = c
	r.tree.Nodes[c.Path] = filetree.Node{Type: c.Type, Link: c.Link, Mode: c.Mode, UID: c.UID, GID: c.GID, Xattrs: c.Xattrs}
}

// checkPath refuses paths that aren't absolute, clean and printable, and those that
// would be taken for a whiteout (OCI image spec, layer.md, "Whiteouts").
func checkPath(p string) error {
	switch {
	case !path.IsAbs(p):
		return fmt.Errorf("path %q is not absolute; write /%s", p, strings.TrimPrefix(path.Clean("/"+p), "/"))
	case path.Clean(p) != p:
		return fmt.Errorf("path %q is not clean; write %s", p, path.Clean(p))
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("path %q has control characters or is not UTF-8", p)
	case strings.Contains(p, "/.wh."):
		return fmt.Errorf("path %q has a name that starts with .wh., which layers use for removals", p)
	}
	return nil
}
