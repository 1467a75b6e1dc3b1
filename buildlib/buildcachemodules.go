package buildlib

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/gocache"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/modcache"
)

// The build cache also has modules, as outputs of actions of our own, one for each
// line of go.sum. So the project says what to look for, and whether what is found
// is right: the cache has only bytes. go would fetch zips, hash and unpack them.

// modulesTag is the tag of the image with modules, which are the same for every Go and
// platform.
const modulesTag = "modules"

// modules are those that go.sum names.
type modules struct {
	folder modcache.Folder
	sums   map[gocache.ID]modcache.Sum // by their actions
	log    func(format string, args ...any)
}

// modulesPart is the part of the cache that has the plan's modules; nil: go needs none.
func modulesPart(ctx context.Context, p *Plan, log func(format string, args ...any)) *cachePart {
	m := newModules(ctx, p, log)
	if len(m.sums) == 0 {
		return nil
	}
	part := newCachePart(modulesTag, "go downloads what is missing")
	part.missing = func(x gocache.Index) []gocache.Pack { return x.With(m.lacks) }
	part.unpack, part.update = m.unpack, m.update
	return part
}

// newModules reads the plan's go.sum files. There are no modules to cache outside of a
// module, or if they are vendored.
func newModules(ctx context.Context, p *Plan, log func(format string, args ...any)) *modules {
	m := &modules{modcache.Folder{Path: p.Go.ModCache}, map[gocache.ID]modcache.Sum{}, log}
	m.folder.Writable = slices.ContainsFunc(gotool.SplitFlags(p.Go.Flags), func(flag string) bool { return gotool.FlagName(flag) == "modcacherw" })
	if p.Go.ModCache == "" || !filepath.IsAbs(p.Go.Module) || p.Go.Module == os.DevNull {
		return m
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(p.Go.Module), "vendor", "modules.txt")); err == nil {
		return m
	}
	for _, s := range modcache.ReadSums(sumFiles(ctx, p, log)...) {
		m.sums[sha256.Sum256([]byte("multimage go.sum 1 "+s.String()))] = s
	}
	return m
}

// sumFiles are the plan's go.sum files, whether they exist or not.
func sumFiles(ctx context.Context, p *Plan, log func(format string, args ...any)) []string {
	files := []string{filepath.Join(filepath.Dir(p.Go.Module), "go.sum")}
	for _, call := range p.Compiles {
		files = append(files, filepath.Join(p.ModuleDir(call), "go.sum"))
	}
	if filepath.IsAbs(p.Go.Workspace) {
		files = append(files, p.Go.Workspace+".sum")
		work, err := gotool.Go{Dir: p.Dir}.Workspace(ctx, p.Go.Workspace)
		if err != nil {
			log("build cache: %v", err)
		}
		for _, dir := range work.Dirs {
			files = append(files, filepath.Join(dir, "go.sum"))
		}
	}
	return files
}

// lacks reports whether the action is that of a module that isn't here.
func (m *modules) lacks(action gocache.ID) bool {
	s, ok := m.sums[action]
	return ok && !m.folder.Has(s)
}

func (m *modules) unpack(ctx context.Context, pack gocache.Pack, layer io.Reader) (n int, err error) {
	var wrong []error
	err = pack.Unpack(ctx, layer, func(entries []gocache.Aged, output io.Reader) error {
		for _, e := range entries {
			if !m.lacks(e.Action) {
				continue
			}
			if err := m.folder.Put(m.sums[e.Action], output); err != nil {
				wrong = append(wrong, err) // the next one may be right
			} else {
				n++
			}
			break // it is read
		}
		return nil
	})
	return n, errors.Join(append(wrong, err)...)
}

// update adds to the index those modules of go.sum that go has fetched.
func (m *modules) update(ctx context.Context, x gocache.Index, temp string) (gocache.Index, bool, error) {
	known := map[gocache.ID]bool{}
	for _, pack := range x.Packs {
		for _, e := range pack.Entries {
			known[e.Action] = true
		}
	}
	from := gocache.Folder(filepath.Join(temp, "modules"))
	defer os.RemoveAll(string(from))
	var used []gocache.Entry
	grows := false
	for action, s := range m.sums {
		grows = grows || !known[action] && m.folder.Has(s)
	}
	if !grows {
		return x, false, nil
	}
	for action, s := range m.sums { // all of them, because packs may be written anew
		if ctx.Err() != nil {
			return x, false, context.Cause(ctx)
		}
		if !m.folder.Has(s) {
			continue
		}
		e, err := from.Add(action, func(w io.Writer) error { return m.folder.Write(s, w) })
		if err != nil {
			m.log("build cache: a module is left out: %v", err)
			continue
		}
		used = append(used, e)
	}
	return x.Update(ctx, from, used, temp)
}
