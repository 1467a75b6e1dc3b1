package oci

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// treeFormat is part of the key of a tree's record: count it up with every
// change to the record or to what a scan finds.
const treeFormat = "3"

// treeRecord is how a Tree is kept between runs. A base has ten thousand paths
// and more, and a run that has nothing to do reads them all: so it is not the
// Tree's JSON but one string of bytes, sorted by path, each path without what
// it shares with the one before. Nor would JSON keep names that aren't UTF-8.
type treeRecord struct{ Data []byte }

func newTreeRecord(t *Tree) treeRecord {
	var b []byte
	number := func(n int64) { b = binary.AppendVarint(b, n) }
	text := func(s string) { number(int64(len(s))); b = append(b, s...) }

	number(int64(len(t.Nodes)))
	last := ""
	for _, p := range slices.Sorted(maps.Keys(t.Nodes)) {
		n, shared := t.Nodes[p], 0
		for shared < min(len(p), len(last)) && p[shared] == last[shared] {
			shared++
		}
		number(int64(shared))
		text(p[shared:])
		b = append(b, n.Type)
		text(n.Link)
		number(n.Mode)
		number(int64(n.UID))
		number(int64(n.GID))
		number(int64(len(n.Xattrs)))
		for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
			text(name)
			text(n.Xattrs[name])
		}
		last = p
	}
	number(int64(len(t.Files)))
	for _, p := range slices.Sorted(maps.Keys(t.Files)) {
		text(p)
		text(string(t.Files[p]))
	}
	return treeRecord{b}
}

// tree returns the record's Tree. That the record is as it was kept is the
// cache's to see; bytes that are no Tree are an error all the same.
func (r treeRecord) tree() (*Tree, error) {
	errDamaged := errors.New("damaged record of a tree")
	b, ok := r.Data, true
	number := func() int64 {
		n, size := binary.Varint(b)
		if size <= 0 {
			b, ok = nil, false
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n < 0 || n > int64(len(b)) {
			b, ok = nil, false
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	count := number()
	if count < 0 || count > int64(len(b)) {
		return nil, errDamaged
	}
	t := &Tree{Nodes: make(map[string]Node, count), Files: map[string][]byte{}}
	last := ""
	for range count {
		shared := number()
		rest := text()
		if !ok || shared < 0 || shared > int64(len(last)) || len(b) == 0 {
			return nil, errDamaged
		}
		last = last[:shared] + rest
		n := Node{Type: b[0]}
		b = b[1:]
		n.Link, n.Mode, n.UID, n.GID = text(), number(), int(number()), int(number())
		for range number() {
			if !ok {
				break
			}
			name := text()
			set(&n.Xattrs, name, text())
		}
		t.Nodes[last] = n
	}
	for range number() {
		if !ok {
			break
		}
		p := text()
		t.Files[p] = []byte(text())
	}
	if !ok || len(b) != 0 {
		return nil, errDamaged
	}
	return t, nil
}
