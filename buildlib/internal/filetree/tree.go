// Package filetree is the file tree that the layers of an image make, as far as
// further layers depend on it: what is at each path, its owner and mode, and where
// links lead.
//
// Its files, each knowing those before it: tree, the type and its walk; read, the
// limits for layers that can't be trusted; scan and changeset, from layers to a
// tree; contents and unpack, the files themselves; record, a tree in the cache.
package filetree

import (
	"archive/tar"
	"fmt"
	"maps"
	"path"
	"strings"
)

// Tree is the file system that layers make, applied one over the other: enough of it
// to add files without harming it. The zero value is the empty tree of scratch.
// Paths are absolute and clean, without a trailing slash.
type Tree struct {
	root *entry // what the layers make; nil: nothing
	// Nodes are what was added on top, by path; "/" is implied.
	Nodes map[string]Node
	// Files holds the content of the account files
	// (/etc/passwd, /etc/group, /etc/shadow), by their resolved path.
	Files map[string][]byte
}

// Node is one path of a Tree.
type Node struct {
	Type byte   `json:"t"`           // as in archive/tar: TypeDir, TypeReg, TypeSymlink, ...
	Link string `json:"l,omitempty"` // a symlink's target, as the layer has it
	Mode int64  `json:"m,omitempty"` // permission bits
	UID  int    `json:"u,omitempty"`
	GID  int    `json:"g,omitempty"`
	// Xattrs are a directory's extended attributes (xattr(7)), by name. Layers
	// with files below the directory must repeat them.
	Xattrs map[string]string `json:"x,omitempty"`
}

// entry is a path of the layers. A base may have a million, so it is small.
type entry struct {
	kids   map[string]*entry // of a directory
	attrs  *attributes       // shared by all that have the same
	link   string            // a symlink's target
	at     place             // where a file's content is
	layer  int16             // the layer that wrote the path last
	pruned int16             // the last layer that hid what is below
	length uint16            // of the path, in bytes
	typ    byte              // as Node.Type
}

// attributes are the attributes of a Node.
type attributes struct {
	mode     int64
	uid, gid int
	xattrs   map[string]string
}

// place is where a regular file's content is: hard links of one file have one
// place.
type place struct {
	header int32 // the number of its tar header, from 1
	layer  int16 // from 1
}

func (e *entry) node() Node {
	return Node{Type: e.typ, Link: e.link, Mode: e.attrs.mode, UID: e.attrs.uid, GID: e.attrs.gid, Xattrs: e.attrs.xattrs}
}

// find returns what is at p, or nil. It follows no links.
func (e *entry) find(p string) *entry {
	for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if e == nil {
			return nil
		}
		e = e.kids[name]
	}
	return e
}

// Over returns a copy of t, which may be changed without changing t. A nil t is the
// tree of scratch.
func (t *Tree) Over() *Tree {
	over := &Tree{Nodes: map[string]Node{}}
	if t != nil {
		over.root, over.Files = t.root, t.Files // which are only read
		maps.Copy(over.Nodes, t.Nodes)
	}
	return over
}

// Node returns what is at p. It follows no links.
func (t *Tree) Node(p string) (Node, bool) {
	if n, ok := t.Nodes[p]; ok {
		return n, true
	}
	if e := t.root.find(p); e != nil {
		return e.node(), true
	}
	return Node{}, false
}

// maxLinks is where the kernel stops following links (path_resolution(7)).
const maxLinks = 40

// Resolve follows the symbolic links among the parents of p, but not the last
// element: what is written to the path that it returns is found by programs that
// open p. A loop of links, or a parent that is a file, is an error.
func (t *Tree) Resolve(p string) (string, error) { return t.walk(p, false) }

// Follow is Resolve, but also follows the last element. The path that it returns may
// not exist.
func (t *Tree) Follow(p string) (string, error) { return t.walk(p, true) }

// Lookup follows all links in p, and returns the resulting path and its node. ok is
// false if there is nothing.
func (t *Tree) Lookup(p string) (resolved string, n Node, ok bool) {
	resolved, err := t.walk(p, true)
	if err != nil {
		return "", Node{}, false
	}
	if resolved == "/" {
		return resolved, Node{Type: tar.TypeDir, Mode: 0o755}, true
	}
	n, ok = t.Node(resolved)
	return resolved, n, ok
}

// File returns the content of the account file at p. It follows links.
func (t *Tree) File(p string) ([]byte, bool) {
	resolved, _, ok := t.Lookup(p)
	if !ok {
		return nil, false
	}
	data, ok := t.Files[resolved]
	return data, ok
}

func (t *Tree) walk(p string, last bool) (string, error) {
	done, todo := "/", elements(p)
	for links := 0; len(todo) > 0; {
		next := path.Join(done, todo[0]) // ".." of a link's target stops at the root
		todo = todo[1:]
		n, ok := t.Node(next)
		switch {
		case ok && n.Type == tar.TypeSymlink && (last || len(todo) > 0):
			if links++; links > maxLinks {
				return "", fmt.Errorf("%s: too many levels of symbolic links", p)
			}
			if path.IsAbs(n.Link) {
				done = "/"
			}
			todo = append(elements(n.Link), todo...)
			continue
		case ok && n.Type != tar.TypeDir && n.Type != tar.TypeSymlink && len(todo) > 0:
			return "", fmt.Errorf("%s: %s is not a directory in the base", p, next)
		}
		done = next
	}
	return done, nil
}

func elements(p string) []string {
	return strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
}
