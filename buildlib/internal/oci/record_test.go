package oci

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

func TestTreeRecord(t *testing.T) {
	tree := &Tree{
		Nodes: map[string]Node{
			"/a":          {Type: tar.TypeDir, Mode: 0o1777, UID: 1, GID: 1 << 31, Xattrs: map[string]string{"user.a": "", "user.b": "\x00\xff"}},
			"/a/b":        {Type: tar.TypeSymlink, Link: "../\xff\xfe", Mode: 0o777},
			"/a\n\xff<&>": {Type: tar.TypeReg, UID: -1},
			"/ab":         {Type: tar.TypeReg},
		},
		Files: map[string][]byte{"/etc/passwd": []byte("root:x\n\xff"), "/etc/group": {}},
	}
	for _, want := range []*Tree{tree, {Nodes: map[string]Node{}, Files: map[string][]byte{}}} {
		raw, err := json.Marshal(newTreeRecord(want))
		if err != nil {
			t.Fatal(err)
		}
		var r treeRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		got, err := r.tree()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	r := newTreeRecord(tree)
	for i := range r.Data {
		if _, err := (treeRecord{r.Data[:i]}).tree(); err == nil {
			t.Fatalf("a record cut off after %d bytes is a tree", i)
		}
		r.Data[i] ^= 0x10
		_, _ = r.tree() // whatever it is, it doesn't panic
		r.Data[i] ^= 0x10
	}
	if _, err := (treeRecord{}).tree(); err == nil {
		t.Error("an empty record is a tree")
	}
}

func BenchmarkTreeRecord(b *testing.B) {
	tree := &Tree{Nodes: map[string]Node{}, Files: map[string][]byte{}}
	for i := range 10_000 {
		tree.Nodes[fmt.Sprintf("/usr/share/doc/package-%d/file-%d", i/20, i)] = Node{Type: tar.TypeReg, Mode: 0o644}
	}
	raw, err := json.Marshal(newTreeRecord(tree))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var r treeRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			b.Fatal(err)
		}
		if _, err := r.tree(); err != nil {
			b.Fatal(err)
		}
	}
}
