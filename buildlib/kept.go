package buildlib

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What a run doesn't use of the kept folders stays for the runs that will: those
// last used, within these bounds together.
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

// sweepKept removes the kept folders that are beyond the bounds, but none of
// this plan's. What can't be removed stays.
func (w *workspace) sweepKept(now time.Time) {
	used := map[string]bool{}
	for _, c := range w.plan.Compiles {
		used[w.plan.kept(c)] = true
	}
	var list []keptFolder
	matches, _ := filepath.Glob(filepath.Join(escape(w.private("kept")), "*", "*"))
	for _, path := range matches {
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
		list = append(list, lookKept(path))
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

// lookKept looks at a kept folder: its record is written by each run that uses
// it.
func lookKept(path string) keptFolder {
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

// escape makes of a path a pattern that matches it (filepath.Match).
func escape(path string) string {
	if filepath.Separator == '\\' {
		return path // there, nothing can be escaped
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
