package store

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// The store removes what was not used for keep and, if it has more than maxSize bytes,
// what was used least recently. It trims once every trimEvery, and after a run that
// added to it, which costs a stat for each blob; a run that added nothing looks at
// one file. It notes a use at most once every useEvery. This is the policy of the go
// command's build cache, but it keeps things longer, because a base costs a download.
const (
	keep      = 30 * 24 * time.Hour
	maxSize   = 10 << 30
	trimEvery = 24 * time.Hour
	useEvery  = time.Hour
	// What was used so recently may be in use by another run, and stays,
	// however large the store is.
	inUse = 2 * useEvery
)

// use notes that the blob h was used, in the times of its seen record: the blob's own
// times are part of its identity.
func (s *Store) use(h v1.Hash) { s.touch(h.Hex, s.seenPath(h)) }

// touch notes that the blob or record name was used, in the times of the file at path.
func (s *Store) touch(name, path string) {
	s.mu.Lock()
	known := s.used[name]
	s.used[name] = true
	s.mu.Unlock()
	now := time.Now()
	if info, err := os.Lstat(path); !known && err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > useEvery {
		os.Chtimes(path, now, now)
	}
}

// item is a blob or a record.
type item struct {
	name   string // as in Store.used
	size   int64  // bytes
	last   time.Time
	remove func()
}

// trim removes what is old or too much, but nothing that this run used. What can't be
// removed stays. What another process is about to use is made again there.
func (s *Store) trim(now time.Time) {
	mark := filepath.Join(s.dir, "trimmed")
	info, err := os.Lstat(mark)
	s.mu.Lock()
	grown := s.grown
	s.mu.Unlock()
	if err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) < trimEvery && grown == 0 {
		return
	}
	if disk.WriteBytes(mark, s.scratch.Dir, 0o644, nil) == nil {
		os.Chtimes(mark, now, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.blobs(), s.records()...)
	slices.SortFunc(all, func(a, b item) int { return a.last.Compare(b.last) })
	var total int64
	for _, i := range all {
		total += i.size
	}
	limit := cmp.Or(s.limit, maxSize)
	for _, i := range all {
		age := now.Sub(i.last)
		if s.used[i.name] || age < inUse || (age <= keep && total <= limit) {
			continue
		}
		i.remove()
		total -= i.size
	}
}

// blobs returns the store's blobs, and the seen records of those that are gone.
func (s *Store) blobs() []item {
	var all []item
	seen := map[string]time.Time{}
	for _, i := range files(filepath.Join(s.dir, "seen", "sha256")) {
		seen[i.name] = i.last
	}
	for _, i := range files(filepath.Join(s.dir, "blobs", "sha256")) {
		if last, ok := seen[i.name]; ok {
			i.last = last
			delete(seen, i.name)
		}
		all = append(all, i)
	}
	for name, last := range seen {
		all = append(all, item{name: name, last: last})
	}
	for n := range all {
		h := v1.Hash{Algorithm: "sha256", Hex: all[n].name}
		all[n].remove = func() { s.remove(h) }
	}
	return all
}

func (s *Store) records() []item {
	var all []item
	kinds, _ := os.ReadDir(filepath.Join(s.dir, "records"))
	for _, kind := range kinds {
		if !kind.IsDir() {
			continue
		}
		dir := filepath.Join(s.dir, "records", kind.Name())
		for _, i := range files(dir) {
			i.name = filepath.Join(dir, i.name)
			i.remove = func() { os.Remove(i.name) }
			all = append(all, i)
		}
	}
	return all
}

// files returns all but the folders in a folder.
func files(dir string) []item {
	var all []item
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !e.IsDir() {
			all = append(all, item{name: e.Name(), size: info.Size(), last: info.ModTime()})
		}
	}
	return all
}
