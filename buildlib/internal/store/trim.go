package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The store forgets what was not used for keep, looks for that once every
// trimEvery, and notes a use at most once every useEvery: the policy of the go
// command's build cache, with a longer memory because a base costs a download.
const (
	keep      = 30 * 24 * time.Hour
	trimEvery = 24 * time.Hour
	useEvery  = time.Hour
)

// use notes that the blob h was used, in the times of its seen file: the
// blob's own are part of its identity.
func (s *Store) use(h v1.Hash) { touch(s.seenPath(h)) }

func touch(path string) {
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > useEvery {
		os.Chtimes(path, now, now)
	}
}

// trim removes what was last used before now-keep. It is best effort: what
// can't be removed stays, and a blob that another process is about to use is
// missing there and made again.
func (s *Store) trim(now time.Time) {
	mark := filepath.Join(s.dir, "trimmed")
	if info, err := os.Stat(mark); err == nil && now.Sub(info.ModTime()) < trimEvery {
		return
	}
	if os.WriteFile(mark, nil, 0o644) != nil || os.Chtimes(mark, now, now) != nil {
		return
	}
	old := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && now.Sub(info.ModTime()) > keep
	}
	blobs, _ := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	for _, e := range blobs {
		h := v1.Hash{Algorithm: "sha256", Hex: e.Name()}
		if seen := s.seenPath(h); old(seen) || (!exists(seen) && old(s.blobPath(h))) {
			s.remove(h)
		}
	}
	filepath.WalkDir(filepath.Join(s.dir, "records"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && old(path) {
			os.Remove(path)
		}
		return nil
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
