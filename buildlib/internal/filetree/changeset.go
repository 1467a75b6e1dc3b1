package filetree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// apply applies the tar archive in r as the next layer.
func (s *scanner) apply(ctx context.Context, r io.Reader) error {
	s.layer++
	s.header = 0
	tr := tar.NewReader(r)
	for {
		// Walks of links may take longer than reading.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		// The scanner checks paths itself.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("not a valid tar archive: %w", err)
		}
		s.header++
		if err := s.add(h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", wording.Clip(h.Name), err)
		}
	}
}

// Whiteouts: OCI image spec, layer.md, "Whiteouts".
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	auFS     = ".wh..wh." // starts names that AUFS uses itself, which aren't part of the image
)

func (s *scanner) add(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	elems, err := s.elements(h.Name)
	if err != nil {
		return err
	}
	if len(elems) == 0 {
		if h.Typeflag != tar.TypeDir {
			return errors.New("takes the place of the root directory")
		}
		return nil
	}
	parent, name := elems[:len(elems)-1], elems[len(elems)-1]
	switch {
	case name == opaque:
		return s.hide(parent)
	case strings.HasPrefix(name, auFS), strings.HasPrefix(elems[0], auFS):
		return nil
	case strings.HasPrefix(name, whiteout):
		name = strings.TrimPrefix(name, whiteout)
		if name == "" || name == "." || name == ".." {
			return errors.New("a whiteout of nothing")
		}
		return s.remove(parent, name)
	}
	e := &entry{typ: h.Typeflag, layer: s.layer}
	var xattrs map[string]string
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.typ = tar.TypeReg
		e.at = place{s.header, s.layer}
		if at := "/" + path.Join(elems...); slices.Contains(accounts, at) {
			// Before reading its content: it may be gigabytes.
			if err := s.limits.checkAccount(at, h.Size); err != nil {
				return err
			}
			data, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			s.kept[at] = keptFile{e.at, data}
		}
	case tar.TypeDir:
		if xattrs, err = s.xattrs(h); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	case tar.TypeSymlink:
		if h.Linkname == "" {
			return errors.New("a symbolic link to nothing")
		}
		if err := s.count(h.Linkname); err != nil {
			return err
		}
		e.link = strings.Clone(h.Linkname)
	case tar.TypeLink:
		if err := s.link(e, h.Linkname); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown type %q", h.Typeflag)
	}
	if e.attrs == nil {
		e.attrs = s.attributes(h.Mode&0o7777, h.Uid, h.Gid, xattrs)
	}
	return s.put(parent, name, e)
}

// attributes returns one value for all entries with the same attributes.
func (s *scanner) attributes(mode int64, uid, gid int, xattrs map[string]string) *attributes {
	if len(xattrs) > 0 {
		return &attributes{mode, uid, gid, xattrs}
	}
	key := owned{mode, uid, gid}
	a := s.attrs[key]
	if a == nil {
		a = &attributes{mode: mode, uid: uid, gid: gid}
		s.attrs[key] = a
	}
	return a
}

// XattrPrefix starts the names of the PAX records that hold extended attributes.
// Engines read no other of those in tar(5).
const XattrPrefix = "SCHILY.xattr."

// xattrs returns a directory's extended attributes, without those by which overlayfs
// hides files: in another layer, they would hide the base.
func (s *scanner) xattrs(h *tar.Header) (map[string]string, error) {
	var all map[string]string
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, XattrPrefix)
		if !ok || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		s.names += int64(len(name) + len(value))
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
	}
	return all, s.enough()
}

// elements splits a path of an archive, which starts at the root with or without a
// slash. A path with ".." is an error: no honest layer has it, and engines differ in
// what they make of it.
func (s *scanner) elements(p string) ([]string, error) {
	if err := s.count(p); err != nil {
		return nil, err
	}
	elems := elements(p)
	clean := elems[:0]
	for _, e := range elems {
		switch e {
		case ".":
		case "..":
			return nil, errors.New("a path with \"..\"")
		default:
			clean = append(clean, e)
		}
	}
	return clean, nil
}

func (s *scanner) count(p string) error {
	if len(p) > s.limits.path {
		return fmt.Errorf("a path of %d bytes, more than the %d that Linux takes", len(p), s.limits.path)
	}
	if s.names += int64(len(p)); s.names > s.limits.names {
		return fmt.Errorf("more than %d bytes of paths", s.limits.names)
	}
	return nil
}

// link makes e another name of what target names.
func (s *scanner) link(e *entry, target string) error {
	elems, err := s.elements(target)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	if len(elems) > 0 && strings.HasPrefix(elems[0], auFS) {
		// AUFS kept files of several names in a folder of its own.
		e.typ = tar.TypeReg
		return nil
	}
	var old *entry
	if n := len(elems) - 1; n >= 0 {
		dir, err := s.dir(elems[:n], false)
		if err != nil {
			return err
		}
		if dir != nil {
			old = dir.kids[elems[n]]
		}
	}
	if old == nil || old.typ == tar.TypeDir {
		return fmt.Errorf("a hard link to %q, which is not a file of the image", wording.Clip(target))
	}
	// Not its content: an account file written over and over could be kept under
	// endless other names.
	e.typ, e.link, e.attrs, e.at = old.typ, old.link, old.attrs, old.at
	return nil
}

// put writes e as name into the directory parent, which is made if it is missing. A
// directory is merged with one that is there; anything else replaces what is there.
func (s *scanner) put(parent []string, name string, e *entry) error {
	dir, err := s.dir(parent, true)
	if err != nil {
		return err
	}
	if old := dir.kids[name]; old != nil && old.typ == tar.TypeDir && e.typ == tar.TypeDir {
		old.attrs, old.layer = e.attrs, e.layer
		s.entries++
		return s.enough()
	}
	return s.insert(dir, name, e)
}

func (s *scanner) insert(dir *entry, name string, e *entry) error {
	length := int(dir.length) + 1 + len(name)
	if length > s.limits.path {
		return fmt.Errorf("links lead to a path of more than %d bytes", s.limits.path)
	}
	e.length = uint16(length)
	if dir.kids == nil {
		dir.kids = map[string]*entry{}
	}
	dir.kids[strings.Clone(name)] = e // a part of the path would keep all of it in memory
	s.entries++
	s.names += int64(length)
	return s.enough()
}

func (s *scanner) enough() error {
	if s.entries > s.limits.entries {
		return fmt.Errorf("it has more than the %d files and folders that a base may have", s.limits.entries)
	}
	if s.names > s.limits.names {
		return fmt.Errorf("more than %d bytes of paths", s.limits.names)
	}
	return nil
}

// dir walks from the root through the directories elems, and follows links. What is
// missing is made, as engines do; without create the result is nil then.
func (s *scanner) dir(elems []string, create bool) (*entry, error) {
	way, todo := append(s.stack[:0], s.root), elems
	for links := 0; len(todo) > 0; {
		if s.steps++; s.steps > s.limits.steps {
			return nil, errors.New("too many links and nested folders")
		}
		name, here := todo[0], way[len(way)-1]
		todo = todo[1:]
		if name == "." {
			continue
		}
		if name == ".." {
			way = way[:max(1, len(way)-1)]
			continue
		}
		next := here.kids[name]
		if next == nil {
			if !create {
				return nil, nil
			}
			next = &entry{typ: tar.TypeDir, attrs: s.attributes(0o755, 0, 0, nil), layer: s.layer}
			if err := s.insert(here, name, next); err != nil {
				return nil, err
			}
		}
		switch next.typ {
		case tar.TypeDir:
			way = append(way, next)
		case tar.TypeSymlink:
			if links++; links > maxLinks {
				return nil, errors.New("too many levels of symbolic links")
			}
			if path.IsAbs(next.link) {
				way = way[:1]
			}
			todo = append(elements(next.link), todo...)
		default:
			return nil, fmt.Errorf("%q on its way is not a directory", name)
		}
	}
	s.stack, s.reached = way, len(way)
	return way[len(way)-1], nil
}

// hide removes what lower layers have in the directory elems. What this layer has
// written stays, also if it came before the whiteout.
func (s *scanner) hide(elems []string) error {
	dir, err := s.dir(elems, false)
	if err != nil || dir == nil {
		return err
	}
	if !s.hidden() {
		s.prune(dir)
	}
	return nil
}

// remove removes name from the directory parent, if it is from a lower layer.
func (s *scanner) remove(parent []string, name string) error {
	dir, err := s.dir(parent, false)
	if err != nil || dir == nil {
		return err
	}
	e := dir.kids[name]
	if e == nil || s.hidden() {
		return nil
	}
	s.prune(e)
	if e.layer != s.layer && len(e.kids) == 0 {
		delete(dir.kids, name)
	}
	return nil
}

// hidden reports whether this layer has already hidden what lower layers have in the
// directory that dir returned last. So repeated whiteouts cost nothing.
func (s *scanner) hidden() bool {
	for _, e := range s.stack[:s.reached] {
		if e.pruned == s.layer {
			return true
		}
	}
	return false
}

func (s *scanner) prune(e *entry) {
	if e.pruned == s.layer {
		return
	}
	e.pruned = s.layer
	for name, kid := range e.kids {
		s.prune(kid)
		if kid.layer != s.layer && len(kid.kids) == 0 {
			delete(e.kids, name)
		}
	}
}
