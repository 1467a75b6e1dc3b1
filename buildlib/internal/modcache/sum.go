// Package modcache takes modules from one Go module cache to another, each as a
// stream of bytes. go can't see any of it until it has the hash in go.sum.
//
// Its files, each knowing those before it: sum (go.sum), hash (its hashes), folder
// (GOMODCACHE), write, put.
package modcache

import (
	"io/fs"
	"os"
	"strings"
)

// Sum is a line of go.sum: the hash of a module's version, or of its go.mod alone
// ("Authenticating modules", go.dev/ref/mod). ReadSums adds one for the info that goes
// with each version.
type Sum struct {
	Path, Version string
	Of            Part
	Hash          string
}

// Part is a part of what go keeps about a module's version.
type Part string

const (
	Tree Part = ""        // its files
	Mod  Part = "/go.mod" // its go.mod
	Info Part = " info"   // its time, for which go would ask a proxy again
)

// name is what the module is called in its own hash.
func (s Sum) name() string { return s.Path + "@" + s.Version }

// String is the line.
func (s Sum) String() string { return s.Path + " " + s.Version + string(s.Of) + " " + s.Hash }

// ReadSums reads the files that exist. Lines that contradict each other, and those of
// no use here, are left out.
func ReadSums(files ...string) []Sum {
	var sums []Sum
	at := map[Sum]int{} // of sums, by all but the hash
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) != 3 || !strings.HasPrefix(f[2], "h1:") {
				continue
			}
			s := Sum{Path: f[0]}
			var mod bool
			if s.Version, mod = strings.CutSuffix(f[1], string(Mod)); mod {
				s.Of = Mod
			}
			if !portable(s.Path, "-._~+/") || !portable(s.Version, "-.+") || strings.Contains(s.Version, "..") {
				continue
			}
			i, known := at[s]
			if !known {
				at[s] = len(sums)
				sums = append(sums, s)
				i = at[s]
			} else if sums[i].Hash != f[2] {
				sums[i].Path = "" // which of them is right?
				continue
			}
			sums[i].Hash = f[2]
		}
	}
	var kept []Sum
	for _, s := range sums {
		if s.Path == "" {
			continue
		}
		if kept = append(kept, s); s.Of == Tree {
			s.Of = Info
			kept = append(kept, s)
		}
	}
	return kept
}

// portable reports whether s is a path of ASCII letters, digits and the characters in
// more, like those of modules and versions (go.dev/ref/mod#go-mod-file-ident).
func portable(s, more string) bool {
	return fs.ValidPath(s) && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
	}) < 0
}

// escape is a path as the module cache spells it, because file systems may not tell A
// from a.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
