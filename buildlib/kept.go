package buildlib

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept folders that a run doesn't use stay for later runs: those last used, within
// these bounds.
const (
	keptAge   = 30 * 24 * time.Hour
	keptCount = 16
	keptSize  = 4 << 30 // bytes
)

// keptFolder is a kept folder, its size, and when it was last used.
type keptFolder struct {
	path string
	size int64
	used time.Time
}

// sweepKept removes the kept folders that are beyond the bounds, except for this
// plan's. Those that can't be removed stay.
func (w *workspace) sweepKept(now time.Time) {
	used := map[string]bool{}
	for _, c := range w.plan.Compiles {
		used[w.plan.kept(c)] = true
	}
	var list []keptFolder
	names, _ := fs.Glob(os.DirFS(w.private("kept")), "*/*")
	for _, name := range names {
		path := filepath.Join(w.private("kept"), filepath.FromSlash(name))
		folder, isRecord := strings.CutSuffix(path, ".json")
		folder = strings.TrimSuffix(folder, ".inputs")
		if isRecord {
			if _, err := os.Lstat(folder); err != nil && !used[folder] {
				os.Remove(path) // its folder has gone
			}
			continue
		}
		if used[path] {
			continue
		}
		list = append(list, lookAt(path))
	}
	slices.SortFunc(list, func(a, b keptFolder) int { return b.used.Compare(a.used) })
	var size int64
	for i, f := range list {
		size += f.size
		if i < keptCount && size <= keptSize && now.Sub(f.used) <= keptAge {
			continue
		}
		os.RemoveAll(f.path)
		os.Remove(f.path + ".json")
		os.Remove(f.path + ".inputs.json")
		os.Remove(filepath.Dir(f.path)) // if it is empty
	}
}

// lookAt finds the size of a kept folder and when it was used: each run that uses it
// writes its record.
func lookAt(path string) keptFolder {
	f := keptFolder{path: path}
	if info, err := os.Lstat(path + ".json"); err == nil {
		f.used = info.ModTime()
	} else if info, err := os.Lstat(path); err == nil {
		f.used = info.ModTime()
	}
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				f.size += info.Size()
			}
		}
		return nil
	})
	return f
}
