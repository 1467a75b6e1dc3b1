package filetree

import (
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Other names of a file keep its content: through names of names, and when a later
// layer replaces the file.
func TestContentsOfHardLinks(t *testing.T) {
	chain := []testenv.Entry{file("etc/link0", "linked")}
	for i := range 20 {
		chain = append(chain, testenv.HardLink(fmt.Sprint("etc/link", i+1), fmt.Sprint("etc/link", i)))
	}
	layers := []v1.Layer{
		testenv.Layer(t, append(chain, file("etc/one", "old"), testenv.HardLink("etc/two", "etc/one"), file("etc/three", "three"))...),
		testenv.Layer(t, file("etc/one", "new"), testenv.HardLink("etc/four", "etc/one"), testenv.HardLink("etc/three", "etc/two")),
	}
	open := func(i int) (io.ReadCloser, error) { return layers[i].Compressed() }
	var diffIDs []v1.Hash
	for _, l := range layers {
		h, err := l.DiffID()
		if err != nil {
			t.Fatal(err)
		}
		diffIDs = append(diffIDs, h)
	}
	tree, err := Scan(t.Context(), diffIDs, open)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tree.ReadContents(t.Context(), len(layers), open, []string{"/etc"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": "new", "two": "old", "three": "old", "four": "new", "link20": "linked"} {
		if got := string(c["etc/"+name]); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
