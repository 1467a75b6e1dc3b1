package filetree

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// Format is part of the key of a tree's record: count it up with every
// change to the record or to what a scan finds.
const Format = "4"

// Record is how the Tree of a base is kept between runs. A base has ten
// thousand paths and more, and a run that has nothing to do reads them all: so
// it is not JSON but one string of bytes, in which each folder has its entries
// behind it. Nor would JSON keep names that aren't UTF-8.
type Record struct{ Data []byte }

// NewRecord returns the record of t, as its layers left it.
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
	numbers map[*attributes]int // which of attrs
}

func (w *recordWriter) number(n int)  { w.b = binary.AppendVarint(w.b, int64(n)) }
func (w *recordWriter) text(s string) { w.number(len(s)); w.b = append(w.b, s...) }

// collect counts what is below e, and about the bytes that it takes, and numbers
// its attributes.
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

// tree returns the record's Tree. That the record is as it was kept is the
// cache's to see; bytes that are no Tree are an error all the same.
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

// recordReader reads a record from the front. Names are parts of it.
type recordReader struct {
	b       string
	attrs   []attributes
	entries []entry // room for those to come
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

// count is a number of things that take at least a byte each.
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

// kids reads what is in the folder e, which is so many levels deep.
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
