package filetree

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// Format is part of the key of a tree's record: increase it with every change to the
// record or to what a scan finds.
const Format = "4"

// Record is the Tree of a base, encoded for the cache. A base has ten thousand paths
// and more, and even a run that has nothing to do reads them all. So it is not JSON,
// which also wouldn't keep names that aren't UTF-8, but one string of bytes, in which
// each folder is followed by its entries.
type Record struct{ Data []byte }

// NewRecord returns the record of t, without its Nodes.
func NewRecord(t *Tree) Record {
	w := recordWriter{numbers: map[*attributes]int{}}
	count, size := w.collect(t.root)
	w.b = make([]byte, 0, size)
	w.number(len(w.attrs))
	for _, a := range w.attrs {
		w.number(int(a.mode))
		w.number(a.uid)
		w.number(a.gid)
		w.number(len(a.xattrs))
		for _, name := range slices.Sorted(maps.Keys(a.xattrs)) {
			w.text(name)
			w.text(a.xattrs[name])
		}
	}
	w.number(count)
	w.kids(t.root)
	w.number(len(t.Files))
	for _, p := range slices.Sorted(maps.Keys(t.Files)) {
		w.text(p)
		w.text(string(t.Files[p]))
	}
	return Record{w.b}
}

type recordWriter struct {
	b       []byte
	attrs   []*attributes
	numbers map[*attributes]int // their index in attrs
}

func (w *recordWriter) number(n int)  { w.b = binary.AppendVarint(w.b, int64(n)) }
func (w *recordWriter) text(s string) { w.number(len(s)); w.b = append(w.b, s...) }

// collect numbers the attributes of all below e, counts the entries, and estimates
// their size in bytes.
func (w *recordWriter) collect(e *entry) (count, size int) {
	if e == nil {
		return 0, 0
	}
	for _, name := range slices.Sorted(maps.Keys(e.kids)) {
		kid := e.kids[name]
		if _, ok := w.numbers[kid.attrs]; !ok {
			w.numbers[kid.attrs] = len(w.attrs)
			w.attrs = append(w.attrs, kid.attrs)
		}
		below, bytes := w.collect(kid)
		count, size = count+1+below, size+len(name)+len(kid.link)+6+bytes
	}
	return count, size
}

func (w *recordWriter) kids(e *entry) {
	if e == nil {
		w.number(0)
		return
	}
	w.number(len(e.kids))
	for _, name := range slices.Sorted(maps.Keys(e.kids)) {
		kid := e.kids[name]
		w.text(name)
		w.b = append(w.b, kid.typ)
		w.number(w.numbers[kid.attrs])
		switch kid.typ {
		case tar.TypeSymlink:
			w.text(kid.link)
		case tar.TypeDir:
			w.kids(kid)
		}
	}
}

// Tree returns the record's Tree. The cache notices damage, but a record that isn't
// valid is an error all the same.
func (r Record) Tree() (*Tree, error) {
	d := recordReader{b: string(r.Data)}
	t := &Tree{root: &entry{typ: tar.TypeDir, attrs: &attributes{mode: 0o755}}, Files: map[string][]byte{}}
	d.attrs = make([]attributes, d.count())
	for i := range d.attrs {
		a := &d.attrs[i]
		a.mode, a.uid, a.gid = int64(d.number()), d.number(), d.number()
		for n := range d.count() {
			if n == 0 {
				a.xattrs = map[string]string{}
			}
			name := d.text()
			a.xattrs[name] = d.text()
		}
	}
	d.entries = make([]entry, d.count())
	d.kids(t.root, 0)
	for range d.count() {
		p := d.text()
		t.Files[p] = []byte(d.text())
	}
	if d.damaged || d.b != "" || len(d.entries) > 0 {
		return nil, errors.New("damaged record of a tree")
	}
	return t, nil
}

// recordReader reads a record from front to back. Names are substrings of it.
type recordReader struct {
	b       string
	attrs   []attributes
	entries []entry // not used yet
	damaged bool
}

func (d *recordReader) fail() { d.b, d.damaged = "", true }

func (d *recordReader) number() int {
	// A few bytes at most, so that the string isn't copied.
	n, size := binary.Varint([]byte(d.b[:min(len(d.b), binary.MaxVarintLen64)]))
	if size <= 0 || int64(int(n)) != n {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

// count reads a number of things that take at least a byte each.
func (d *recordReader) count() int {
	n := d.number()
	if n < 0 || n > len(d.b) {
		d.fail()
		return 0
	}
	return n
}

func (d *recordReader) text() string {
	n := d.count()
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

// kids reads the entries of the folder e, which is depth levels below the root.
func (d *recordReader) kids(e *entry, depth int) {
	n := d.count()
	if n > len(d.entries) || depth > defaultLimits.path {
		d.fail()
		return
	}
	if n == 0 {
		return
	}
	e.kids = make(map[string]*entry, n)
	for range n {
		name := d.text()
		if d.b == "" || len(d.entries) == 0 {
			d.fail()
			return
		}
		kid := &d.entries[0]
		d.entries = d.entries[1:]
		kid.typ, d.b = d.b[0], d.b[1:]
		at := d.number()
		if at < 0 || at >= len(d.attrs) {
			d.fail()
			return
		}
		kid.attrs = &d.attrs[at]
		switch kid.typ {
		case tar.TypeSymlink:
			kid.link = d.text()
		case tar.TypeDir:
			d.kids(kid, depth+1)
		}
		e.kids[name] = kid
	}
}
