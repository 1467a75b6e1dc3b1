package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// change is one path that a layer sets (OCI image spec, layer.md, "Change
// Types"): a directory, a regular file or a symbolic link. Nothing is ever
// removed.
type change struct {
	Path     string // absolute and clean
	Type     byte   // tar.TypeDir, tar.TypeReg or tar.TypeSymlink
	Mode     int64  // permission bits, setuid, setgid and sticky
	UID, GID int
	Link     string            // a symlink's target
	Xattrs   map[string]string // of a directory, as Node's
	Size     int64             // of a file, in bytes
	Digest   v1.Hash           // sha256 of a file's content
	Source   string            // where a file's content is from
	// Identity is that of the file at Source when Digest was taken. As long
	// as it is the same, the content is not hashed again. Zero: unknown.
	Identity disk.Identity
	Open     func() (io.ReadCloser, error)
}

// textFile is the change that makes p a file that holds content.
func textFile(p string, mode int64, content []byte, source string) change {
	sum := sha256.Sum256(content)
	return change{
		Path: p, Type: tar.TypeReg, Mode: mode,
		Size:   int64(len(content)),
		Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])},
		Source: source,
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		},
	}
}

// directory is the change that makes p a directory.
func directory(p string, mode int64, uid, gid int) change {
	return change{Path: p, Type: tar.TypeDir, Mode: mode, UID: uid, GID: gid}
}

// header returns the change's tar header: times are 0 and names of users are
// left out, so that equal changes are equal bytes.
func (c change) header() *tar.Header {
	name := strings.TrimPrefix(c.Path, "/")
	if c.Type == tar.TypeDir {
		name += "/"
	}
	h := &tar.Header{
		Typeflag: c.Type, Name: name, Linkname: c.Link, Size: c.Size,
		Mode: c.Mode, Uid: c.UID, Gid: c.GID, ModTime: time.Unix(0, 0),
	}
	for key, value := range c.Xattrs {
		set(&h.PAXRecords, xattrPrefix+key, value)
	}
	return h
}

// write writes the change to w, with buf for copying. A file whose content
// isn't the one that the change has the digest of is an error.
func (c change) write(ctx context.Context, w *tar.Writer, buf []byte) error {
	if err := w.WriteHeader(c.header()); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	if c.Type != tar.TypeReg {
		return nil
	}
	hashed := c.untouched()
	r, err := c.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	var to io.Writer = &upTo{w, c.Size}
	if !hashed {
		to = io.MultiWriter(sum, to)
	}
	// One byte more than the size tells a file that has grown.
	n, err := io.CopyBuffer(to, io.LimitReader(contextReader{ctx, r}, c.Size+1), buf)
	if err != nil {
		return err
	}
	same := n == c.Size
	if hashed {
		same = same && c.unwritten()
	} else {
		same = same && hex.EncodeToString(sum.Sum(nil)) == c.Digest.Hex
	}
	if !same {
		return &Changed{c.Source, c.Size, c.Digest}
	}
	return nil
}

// Changed is the error of a file that isn't, or is no longer, what it was said
// to be.
type Changed struct {
	Source string  // the file
	Size   int64   // in bytes, and
	Digest v1.Hash // sha256 of the content that it was to have
}

func (c *Changed) Error() string {
	return fmt.Sprintf("%s has changed while it was read (it had %d bytes, %s); build again", c.Source, c.Size, c.Digest)
}

// untouched reports whether the file is known to be what Digest says.
func (c change) untouched() bool {
	id, err := disk.Identify(c.Source)
	return err == nil && id.Same(c.Identity)
}

// unwritten reports whether nobody wrote to the file since it was untouched. A
// new hard link, which changes the identity, is no harm.
func (c change) unwritten() bool {
	id, err := disk.Identify(c.Source)
	return err == nil && id.SameFile(c.Identity) && id.Modified == c.Identity.Modified
}

// upTo drops what is written beyond n bytes.
type upTo struct {
	w io.Writer
	n int64
}

func (u *upTo) Write(p []byte) (int, error) {
	keep := p[:min(int64(len(p)), u.n)]
	u.n -= int64(len(keep))
	if n, err := u.w.Write(keep); err != nil {
		return n, err
	}
	return len(p), nil
}

// rootfs is the file system of an image as its layers leave it, from the
// base's up. Each layer adds its changes and then takes them out.
type rootfs struct {
	tree    Tree
	changes map[string]change // of the layer at hand
	taken   map[string]string // who put the file at that path, of those who may not be overruled
	implied map[string]bool   // directories that the layer at hand has because others are below them
}

// newRootfs returns the file system that the base leaves; nil is scratch.
func newRootfs(base *Tree) *rootfs {
	r := &rootfs{changes: map[string]change{}, taken: map[string]string{}, implied: map[string]bool{}}
	if base != nil {
		r.tree = Tree{root: base.root, Nodes: maps.Clone(base.Nodes), Files: base.Files} // root and Files are only read
	}
	if r.tree.Nodes == nil {
		r.tree.Nodes = map[string]Node{}
	}
	return r
}

// take returns the layer's changes in the order of their paths, parents before
// children, and starts the next layer. The directories above a change are among
// them, as they are by now: Docker's overlay2 and Podman unpack each layer into
// a folder of its own, where a parent that the layer lacks becomes root's, 0755,
// and hides the one below. The root itself, which is the engine's, is left out.
func (r *rootfs) take() []change {
	for _, p := range slices.Collect(maps.Keys(r.changes)) {
		for d := path.Dir(p); d != "/"; d = path.Dir(d) {
			if _, ok := r.changes[d]; ok {
				break // and so are those above, or they come with it
			}
			n, _ := r.tree.node(d)
			r.changes[d] = change{Path: d, Type: n.Type, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs}
		}
	}
	list := make([]change, 0, len(r.changes))
	for _, p := range slices.Sorted(maps.Keys(r.changes)) {
		list = append(list, r.changes[p])
	}
	r.changes, r.implied = map[string]change{}, map[string]bool{}
	return list
}

// mkdir makes sure that there is a directory at c.Path, links followed. One
// that is there stays as it is, unless this layer has it only because something
// is below it.
func (r *rootfs) mkdir(c change) error {
	_, _, err := r.dir(c)
	return err
}

// dir is mkdir that returns where the directory is, and what it is if it was
// there before.
func (r *rootfs) dir(c change) (resolved string, was *Node, err error) {
	if err := checkPath(c.Path); err != nil {
		return "", nil, err
	}
	resolved, err = r.tree.walk(c.Path, true)
	if err != nil {
		return "", nil, err
	}
	if resolved == "/" {
		return resolved, &Node{Type: tar.TypeDir, Mode: 0o755}, nil
	}
	if n, ok := r.tree.node(resolved); ok {
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

// chdir makes c.Path a directory with c's owner and mode, also if it is there
// already: a zero mode, and an owner of 0:0, leave what is there.
func (r *rootfs) chdir(c change) error {
	want := c
	if want.Mode == 0 {
		want.Mode = 0o755
	}
	resolved, was, err := r.dir(want)
	if err != nil || was == nil || resolved == "/" {
		return err
	}
	if want.Mode = was.Mode; c.Mode != 0 {
		want.Mode = c.Mode
	}
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

// put sets the file or link c. Links among the parents are followed; one that
// c.Path itself names is replaced, as COPY of a Dockerfile does, unless it
// leads to a directory: replacing /bin would lose all that is in it. by says
// who wants the file; two who want the same one are an error. An empty by may
// be overruled by a later layer.
func (r *rootfs) put(c change, by string) error {
	if err := checkPath(c.Path); err != nil {
		return err
	}
	resolved, err := r.tree.Resolve(c.Path)
	if err != nil {
		return err
	}
	if _, n, ok := r.tree.Lookup(c.Path); ok && n.Type == tar.TypeDir {
		at, _ := r.tree.node(resolved)
		if c.Type != tar.TypeSymlink || at.Type != tar.TypeSymlink || at.Link != c.Link {
			return fmt.Errorf("%s: is a folder in the image; a file cannot replace it (%s/ puts one into it)", c.Path, strings.TrimSuffix(c.Path, "/"))
		}
	}
	if other, ok := r.taken[resolved]; ok {
		return fmt.Errorf("%s: %s is already there", c.Path, other)
	}
	if by != "" {
		r.taken[resolved] = by
	}
	c.Path = resolved
	r.parents(resolved)
	r.add(c)
	return nil
}

// has reports whether somebody who may not be overruled put a file at p.
func (r *rootfs) has(p string) bool {
	resolved, _, ok := r.tree.Lookup(p)
	return ok && r.taken[resolved] != ""
}

// parents makes the directories above p that aren't there.
func (r *rootfs) parents(p string) {
	for d := path.Dir(p); d != "/"; d = path.Dir(d) {
		if _, ok := r.tree.node(d); ok {
			return
		}
		r.add(directory(d, 0o755, 0, 0))
		r.implied[d] = true
	}
}

func (r *rootfs) add(c change) {
	r.changes[c.Path] = c
	r.tree.Nodes[c.Path] = Node{Type: c.Type, Link: c.Link, Mode: c.Mode, UID: c.UID, GID: c.GID, Xattrs: c.Xattrs}
}

// checkPath refuses a path that does not say by itself where it leads, and
// one that would be taken for a removal (layer.md, "Whiteouts").
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

// tarMode returns the mode bits of a tar header. Permissions may be given in
// Go's form or as in chmod(1), where 0o1000, 0o2000 and 0o4000 are sticky,
// setgid and setuid.
func tarMode(m fs.FileMode) (int64, error) {
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if rest := m &^ (special | 0o7777); rest != 0 {
		return 0, fmt.Errorf("mode %v is more than permissions; write it like 0o644", m)
	}
	bits := int64(m & 0o7777)
	for bit, flag := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits, nil
}
