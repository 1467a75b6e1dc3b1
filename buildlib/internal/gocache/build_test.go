package gocache

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// module is a real Go module that is built with a GOCACHE of its own.
type module struct {
	dir   string
	cache Folder
}

// newModule is of packages that import nothing, so that a cold build is short.
func newModule(t *testing.T) module {
	t.Helper()
	m := module{t.TempDir(), Folder(t.TempDir())}
	m.write(t, "go.mod", "module example.test/m\n\ngo 1.26\n")
	m.write(t, "m.go", "package m\n\nimport \"example.test/m/part\"\n\nfunc Text() string { return part.Text }\n")
	m.write(t, "part/part.go", "package part\n\nconst Text = \"one\"\n")
	return m
}

func (m module) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// build builds for a foreign platform and returns the packages that it compiled.
func (m module) build(t *testing.T, env ...string) (compiled []string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-x", "-trimpath", "./...")
	cmd.Dir = m.dir
	cmd.Env = append(append(os.Environ(), "GOCACHE="+string(m.cache), "GOFLAGS=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"), env...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for line := range strings.Lines(string(said)) {
		fields := strings.Fields(line)
		if i := slices.Index(fields, "-p"); i > 0 && strings.HasSuffix(fields[0], "compile") {
			compiled = append(compiled, fields[i+1])
		}
	}
	return compiled
}

// restore unpacks all that a folder misses, as Read reads it.
func restore(t *testing.T, x Index, to Folder) int {
	t.Helper()
	n := 0
	for _, p := range x.Missing(to) {
		data, err := os.ReadFile(p.path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := to.Unpack(t.Context(), p, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		n += got
	}
	return n
}

func update(t *testing.T, x Index, f Folder, used []Entry) (Index, bool) {
	t.Helper()
	next, changed, err := x.Update(t.Context(), f, used, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return next, changed
}

func TestColdBuildCompilesNothing(t *testing.T) {
	m := newModule(t)
	since := m.cache.Rest(time.Now())
	if compiled := m.build(t); len(compiled) != 2 {
		t.Fatalf("a cold build compiled %v", compiled)
	}
	x, changed := update(t, Index{}, m.cache, m.cache.Used(since))
	if !changed {
		t.Fatal("the first update made no pack")
	}

	m.cache = Folder(t.TempDir())
	restore(t, x, m.cache)
	since = m.cache.Rest(time.Now())
	if used := m.cache.Used(since); len(used) != 0 {
		t.Errorf("what was restored looks used: %d entries", len(used))
	}
	if compiled := m.build(t); len(compiled) > 0 {
		t.Errorf("a build from the packs compiled %v", compiled)
	}
	if _, err := os.Stat(filepath.Join(string(m.cache), "trim.txt")); err != nil {
		t.Errorf("go did not look for what to trim: %v", err)
	}
	used := m.cache.Used(since)
	if len(used) == 0 {
		t.Error("nothing looks used after a build")
	}
	if _, changed := update(t, x, m.cache, used); changed {
		t.Error("a build from the packs makes new ones")
	}
	if missing := x.Missing(m.cache); len(missing) > 0 {
		t.Errorf("%d packs are missing after they were restored", len(missing))
	}
}

func TestChangeIsAPackOfItsOwn(t *testing.T) {
	m := newModule(t)
	since := m.cache.Rest(time.Now())
	m.build(t)
	first, _ := update(t, Index{}, m.cache, m.cache.Used(since))
	since = m.cache.Rest(time.Now())
	m.write(t, "part/part.go", "package part\n\nconst Text = \"two\"\n")
	if compiled := m.build(t); len(compiled) != 2 {
		t.Fatalf("a change compiled %v", compiled)
	}
	x, changed := update(t, first, m.cache, m.cache.Used(since))
	if !changed {
		t.Fatal("a change made no pack")
	}
	before, after := packs(first), packs(x)
	for digest := range before {
		if _, there := after[digest]; !there {
			t.Errorf("pack %s was written anew", digest)
		}
	}
	if len(after) != len(before)+1 {
		t.Errorf("%d packs became %d", len(before), len(after))
	}
}

// packs are an index's by digest.
func packs(x Index) map[v1.Hash]Pack {
	all := map[v1.Hash]Pack{}
	for _, p := range x.Packs {
		all[p.Digest] = p
	}
	return all
}

func TestPacksAreTheSameAnywhere(t *testing.T) {
	m := newModule(t)
	digests := func() []v1.Hash {
		since := m.cache.Rest(time.Now())
		m.build(t)
		x, _ := update(t, Index{}, m.cache, m.cache.Used(since))
		return slices.SortedFunc(maps.Keys(packs(x)), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) })
	}
	a := digests()
	m.cache = Folder(t.TempDir())
	if b := digests(); !slices.Equal(a, b) {
		t.Errorf("two machines made %v and %v", a, b)
	}
}
