package buildlib

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/gocache"
	"github.com/multimage/multimage/buildlib/internal/modcache"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// moduleProxy serves example.test/Dep, and counts what it is asked for.
type moduleProxy struct {
	url   string
	asked atomic.Int64
}

func newModuleProxy(t *testing.T) *moduleProxy {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "example.test/!dep/@v/v1.0.0")
	write(t, at+".info", `{"Version":"v1.0.0"}`)
	write(t, at+".mod", "module example.test/Dep\n\ngo 1.24\n")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, content := range map[string]string{"go.mod": read(t, at+".mod"), "dep.go": "package dep\n\nconst Text = \"of a module\"\n"} {
		f, err := z.Create("example.test/Dep@v1.0.0/" + name)
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, at+".zip", archive.String())
	p := &moduleProxy{}
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// freshModules sets GOMODCACHE to an empty folder, and GOPROXY.
func freshModules(t *testing.T, proxy string) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				os.Chmod(path, 0o755)
			}
			return nil
		})
	})
	t.Setenv("GOMODCACHE", dir)
	t.Setenv("GOPROXY", proxy)
	t.Setenv("GOSUMDB", "off")
	return dir
}

// TestBuildCacheModules: modules of the first machine are the others', who fetch none,
// as far as the project's go.sum says that they are right.
func TestBuildCacheModules(t *testing.T) {
	testenv.Slow(t)
	c, proxy := newCacheRegistry(t), newModuleProxy(t)
	of := func() machine {
		m := newMachine(t, c)
		write(t, filepath.Join(m.dir, "go.mod"), goMod+"\nrequire example.test/Dep v1.0.0\n")
		putFile(t, m, "package main\n\nimport dep \"example.test/Dep\"\n\nfunc main() { println(dep.Text) }\n")
		return m
	}
	writer := of()
	freshModules(t, proxy.url)
	tidy := exec.Command("go", "mod", "tidy")
	tidy.Dir = writer.dir
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sums := read(t, filepath.Join(writer.dir, "go.sum"))
	build := func(m machine, sums string, write bool) (digest string, said []string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(m.dir, "go.sum"), []byte(sums), 0o644); err != nil {
			t.Fatal(err)
		}
		_, digest, events, err := m.build(t, t.Context(), write)
		if err != nil {
			t.Fatal(err)
		}
		return digest, cacheWarnings(events)
	}
	want, said := build(writer, sums, true)
	if len(said) > 0 {
		t.Fatalf("the first machine warned %q", said)
	}

	// Of the cache alone, though there is a proxy, and afterwards of what it left.
	reader := of()
	modules := freshModules(t, proxy.url)
	before := proxy.asked.Load()
	c.since()
	for _, blobs := range []int{4, 2} { // two indexes, then each a pack; then the indexes
		digest, said := build(reader, sums, false)
		if digest != want || len(said) > 0 {
			t.Errorf("restored: made %s, want %s, and warned %q", digest, want, said)
		}
		if written, fetched := c.since(); written > 0 || fetched > blobs {
			t.Errorf("restored: sent %d bytes, and fetched %d blobs, want %d", written, fetched, blobs)
		}
	}
	verify := exec.Command("go", "list", "-mod=readonly", "-deps", "./...")
	verify.Dir = reader.dir
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("go: %v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(modules, "example.test", "!dep@v1.0.0")); err != nil || info.Mode().Perm()&0o222 != 0 {
		t.Errorf("the module's folder: %v, %v", info, err)
	}

	if asked := proxy.asked.Load() - before; asked > 0 {
		t.Errorf("the proxy was asked %d times", asked)
	}

	// One who has nothing new writes nothing.
	if _, said := build(reader, sums, true); len(said) > 0 {
		t.Errorf("a reader that writes warned %q", said)
	}

	reader = of()
	freshModules(t, "off")
	if digest, said := build(reader, sums, false); digest != want || len(said) > 0 {
		t.Errorf("without a proxy: made %s, want %s, and warned %q", digest, want, said)
	}

	// What go.sum doesn't name isn't looked for.
	other := newMachine(t, c)
	modules = freshModules(t, "off")
	pack := c.layers(t, modulesTag)[0]
	c.do(func(_ http.ResponseWriter, h v1.Hash) []byte {
		if h == pack.Digest {
			t.Error("another project fetched modules")
		}
		return nil
	})
	if _, said := build(other, "example.test/Dep v1.0.1 h1:x=\n", false); len(said) > 0 {
		t.Errorf("another project warned %q", said)
	}
	if left, _ := filepath.Glob(filepath.Join(escape(modules), "*")); len(left) > 0 {
		t.Errorf("another project got %q", left)
	}

	// A registry that changes a bit of the modules, or has lost them: go fetches them.
	for what, do := range map[string]func(http.ResponseWriter, v1.Descriptor) []byte{
		"foreign": func(_ http.ResponseWriter, d v1.Descriptor) []byte { return bytes.Repeat([]byte("x"), int(d.Size)) },
		"lost": func(w http.ResponseWriter, _ v1.Descriptor) []byte {
			w.Header().Set("X-Gone", "1")
			return nil
		},
	} {
		c.do(func(w http.ResponseWriter, h v1.Hash) []byte {
			if h != pack.Digest {
				return nil
			}
			return do(w, pack)
		})
		m := of()
		freshModules(t, proxy.url)
		before := proxy.asked.Load()
		digest, said := build(m, sums, false)
		if digest != want || len(said) != 1 || !strings.Contains(said[0], pack.Digest.String()) {
			t.Errorf("%s: made %s, want %s, and warned %q", what, digest, want, said)
		}
		if proxy.asked.Load() == before {
			t.Errorf("%s: go fetched nothing", what)
		}
		c.do(nil)
	}
}

// TestHostileModules: an index that leads to another content than go.sum's is believed
// in nothing but what is right.
func TestHostileModules(t *testing.T) {
	hermetic(t)
	proxy, from := newModuleProxy(t), freshModules(t, "")
	t.Setenv("GOPROXY", proxy.url)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), goMod+"\nrequire example.test/Dep v1.0.0\n")
	write(t, filepath.Join(dir, "acme.go"), "package acme\n\nimport _ \"example.test/Dep\"\n")
	for _, args := range [][]string{{"mod", "tidy"}, {"list", "-deps"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	of := func(modCache string) *modules {
		p := &Plan{Dir: dir, Go: Toolchain{Module: filepath.Join(dir, "go.mod"), ModCache: modCache}}
		return newModules(t.Context(), p, t.Logf)
	}
	theirs := of(from)
	folder := gocache.Folder(t.TempDir())
	var used []gocache.Entry
	for action, s := range theirs.sums {
		e, err := folder.Add(action, func(w io.Writer) error {
			if s.Of != modcache.Tree {
				return theirs.folder.Write(s, w)
			}
			_, err := io.WriteString(w, strings.Repeat("evil", 1000))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, e)
	}
	x, _, err := gocache.Index{}.Update(t.Context(), folder, used, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	layer, err := x.Packs[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	ours := of(freshModules(t, proxy.url))
	if packs := x.With(ours.lacks); len(packs) != 1 {
		t.Errorf("%d packs have something of use", len(packs))
	}
	if n, err := ours.unpack(t.Context(), x.Packs[0], layer); n != 2 || err == nil {
		t.Errorf("unpacked %d of them (%v)", n, err)
	}
	for action, s := range ours.sums {
		if lacks := ours.lacks(action); lacks != (s.Of == modcache.Tree) {
			t.Errorf("%v is lacking: %v", s, lacks)
		}
	}
}

// TestSumFiles: a workspace's modules are those of all its go.sum files.
func TestSumFiles(t *testing.T) {
	hermetic(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, name, "go.mod"), "module example.test/"+name+"\n\ngo 1.24\n")
	}
	work := filepath.Join(dir, "go.work")
	write(t, work, "go 1.24\n\nuse (\n\t./a\n\t./b\n)\n")
	p := &Plan{Dir: filepath.Join(dir, "a"), Go: Toolchain{Module: filepath.Join(dir, "a", "go.mod"), Workspace: work}}
	got := sumFiles(t.Context(), p, t.Logf)
	for _, want := range []string{filepath.Join(dir, "a", "go.sum"), filepath.Join(dir, "b", "go.sum"), work + ".sum"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
}
