package filetree

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// grown is what layers that leave these nodes would make.
func grown(all map[string]Node) *entry {
	s := newScanner(defaultLimits)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		n, elems := all[p], elements(p)
		e := &entry{typ: n.Type, link: n.Link, attrs: s.attributes(n.Mode, n.UID, n.GID, n.Xattrs)}
		if err := s.put(elems[:len(elems)-1], elems[len(elems)-1], e); err != nil {
			panic(err)
		}
	}
	return s.root
}

func TestTreeRecord(t *testing.T) {
	tree := &Tree{
		root: grown(map[string]Node{
			"/a":          {Type: tar.TypeDir, Mode: 0o1777, UID: 1, GID: 1 << 31, Xattrs: map[string]string{"user.a": "", "user.b": "\x00\xff"}},
			"/a/b":        {Type: tar.TypeSymlink, Link: "../\xff\xfe", Mode: 0o777},
			"/a\n\xff<&>": {Type: tar.TypeReg, UID: -1},
			"/ab":         {Type: tar.TypeReg},
		}),
		Files: map[string][]byte{"/etc/passwd": []byte("root:x\n\xff"), "/etc/group": {}},
	}
	for _, want := range []*Tree{tree, {Files: map[string][]byte{}}} {
		raw, err := json.Marshal(NewRecord(want))
		if err != nil {
			t.Fatal(err)
		}
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		got, err := r.Tree()
		if err != nil || !reflect.DeepEqual(nodes(got), nodes(want)) || !reflect.DeepEqual(got.Files, want.Files) {
			t.Errorf("got %v, %v, want %v", nodes(got), err, nodes(want))
		}
	}
	r := NewRecord(tree)
	for i := range r.Data {
		if _, err := (Record{r.Data[:i]}).Tree(); err == nil {
			t.Fatalf("a record cut off after %d bytes is a tree", i)
		}
		r.Data[i] ^= 0x10
		_, _ = r.Tree() // whatever it is, it doesn't panic
		r.Data[i] ^= 0x10
	}
	if _, err := (Record{}).Tree(); err == nil {
		t.Error("an empty record is a tree")
	}
}

func BenchmarkTreeRecord(b *testing.B) {
	all := map[string]Node{}
	for i := range 10_000 {
		all[fmt.Sprintf("/usr/share/doc/package-%d/file-%d", i/20, i)] = Node{Type: tar.TypeReg, Mode: 0o644}
	}
	raw, err := json.Marshal(NewRecord(&Tree{root: grown(all)}))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Tree(); err != nil {
			b.Fatal(err)
		}
	}
}
