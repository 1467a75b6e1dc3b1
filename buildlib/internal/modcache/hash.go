package modcache

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// tree collects the files of a module's version for its hash.
type tree []file

type file struct {
	name string
	sum  [sha256.Size]byte
}

// hash is the tree's h1 (golang.org/x/mod/sumdb/dirhash): the sha256 of what
// sha256sum prints for its files, in the order of their names.
func (t tree) hash() string {
	slices.SortFunc(t, func(a, b file) int { return strings.Compare(a.name, b.name) })
	all := sha256.New()
	for _, f := range t {
		fmt.Fprintf(all, "%x  %s\n", f.sum, f.name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(all.Sum(nil))
}

// goMod is the tree of a go.mod alone.
func goMod(data []byte) tree { return tree{{"go.mod", sha256.Sum256(data)}} }
