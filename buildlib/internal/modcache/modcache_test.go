package modcache

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	depPath    = "example.test/Acme/dep" // with a capital, which the cache escapes
	depVersion = "v1.0.0-RC1"
)

// fetched is a GOMODCACHE that go has fetched the module into, and go.sum's lines.
func fetched(t *testing.T) (Folder, []Sum) {
	t.Helper()
	proxy, project, cache := t.TempDir(), t.TempDir(), folder(t)
	serve(t, proxy, map[string]string{"go.mod": "module " + depPath + "\n\ngo 1.24\n", "dep.go": "package dep\n", "A/b/c.go": "package b\n", "A-b": "sorts before A/b", "run.sh": ""})
	put(t, filepath.Join(project, "go.mod"), "module example.test/m\n\ngo 1.24\n\nrequire "+depPath+" "+depVersion+"\n")
	put(t, filepath.Join(project, "m.go"), "package m\n\nimport _ \""+depPath+"\"\n")
	for _, args := range [][]string{{"mod", "tidy"}, {"list", "-deps"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = project
		cmd.Env = append(os.Environ(), "GOENV=off", "GOFLAGS=", "GOWORK=off", "GOPROXY=file://"+filepath.ToSlash(proxy), "GONOPROXY=", "GOSUMDB=off", "GOMODCACHE="+cache.Path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	sums := ReadSums(filepath.Join(project, "go.sum"))
	if len(sums) != 3 {
		t.Fatalf("go.sum has %v", sums)
	}
	return cache, sums
}

// serve makes a module proxy of a folder (go.dev/ref/mod#goproxy-protocol).
func serve(t *testing.T, proxy string, files map[string]string) {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(depPath + "@" + depVersion + "/" + name)
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(proxy, "example.test/!acme/dep/@v/v1.0.0-!r!c1")
	put(t, at+".zip", archive.String())
	put(t, at+".mod", files["go.mod"])
	put(t, at+".info", `{"Version":"`+depVersion+`","Time":"2026-01-02T03:04:05Z"}`)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folder is an empty one whose contents can be removed afterwards.
func folder(t *testing.T) Folder {
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
	return Folder{Path: dir}
}

// contents are the paths below a folder with modes and contents, but for what go
// alone keeps of a module.
func contents(t *testing.T, f Folder) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(f.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == f.Path {
			return err
		}
		name := strings.TrimPrefix(path, f.Path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		if e.IsDir() {
			all[name] = info.Mode().String()
			return nil
		}
		switch base := filepath.Base(path); {
		case base == "list" || base == "lock" || strings.Contains("sumdb .zip .lock", filepath.Ext(base)) && filepath.Ext(base) != "":
			return nil
		}
		data, err := os.ReadFile(path)
		all[name] = info.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func written(t *testing.T, f Folder, s Sum) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(s, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPutMakesWhatGoMakes: the folders have the same files, modes and hashes.
func TestPutMakesWhatGoMakes(t *testing.T) {
	from, sums := fetched(t)
	to := folder(t)
	for _, s := range sums {
		if !from.Has(s) || to.Has(s) {
			t.Errorf("%v: Has says %v of go's, %v of an empty one", s, from.Has(s), to.Has(s))
		}
		if err := to.Put(s, bytes.NewReader(written(t, from, s))); err != nil {
			t.Fatal(err)
		}
		if !to.Has(s) {
			t.Errorf("%v: it is not there", s)
		}
	}
	want, got := contents(t, from), contents(t, to)
	for name := range want {
		if _, ok := got[name]; !ok && strings.HasPrefix(name, "/cache/download/sumdb") {
			delete(want, name)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	for _, s := range sums { // again: it stays as it is
		if err := to.Put(s, strings.NewReader("")); (err == nil) != (s.Of == Tree) {
			t.Errorf("%v: %v", s, err)
		}
	}
	if !maps.Equal(contents(t, to), want) {
		t.Error("a second one changed it")
	}
}

func TestWritable(t *testing.T) {
	from, sums := fetched(t)
	to := folder(t)
	to.Writable = true
	for _, s := range sums {
		if err := to.Put(s, bytes.NewReader(written(t, from, s))); err != nil {
			t.Fatal(err)
		}
		if s.Of != Tree {
			continue
		}
		if info, err := os.Stat(to.dir(s)); err != nil || info.Mode()&0o200 == 0 {
			t.Errorf("its folder is %v (%v)", info.Mode(), err)
		}
	}
}

// TestPutRefuses: whatever comes instead of a module, nothing of it is there.
func TestPutRefuses(t *testing.T) {
	from, sums := fetched(t)
	byPart := map[Part]Sum{}
	for _, s := range sums {
		byPart[s.Of] = s
	}
	whole, mod, info := byPart[Tree], byPart[Mod], byPart[Info]
	good := written(t, from, whole)
	pack := func(members ...tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range members {
			h.Mode = 0o777
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			w.Write(bytes.Repeat([]byte("x"), int(h.Size)))
		}
		w.Close()
		return b.Bytes()
	}
	more := func(h tar.Header) []byte { // all that is right, and this
		end := bytes.TrimRight(good, "\x00")
		padded := append(bytes.Clone(end), make([]byte, (512-len(end)%512)%512)...)
		return append(padded, pack(h)...)
	}
	for _, test := range []struct {
		name    string
		of      Sum
		content []byte
	}{
		{"nothing", whole, nil},
		{"cut off", whole, good[:len(good)-2000]},
		{"no tar", whole, bytes.Repeat([]byte("no tar"), 1000)},
		{"another file", whole, more(tar.Header{Name: "evil.go", Size: 1})},
		{"a file twice", whole, more(tar.Header{Name: "dep.go", Size: 1})},
		{"another content", whole, bytes.Replace(good, []byte("package dep"), []byte("package xxx"), 1)},
		{"path out of the folder", whole, more(tar.Header{Name: "../../evil", Size: 1})},
		{"absolute path", whole, more(tar.Header{Name: "/evil", Size: 1})},
		{"link", whole, more(tar.Header{Name: "evil", Typeflag: tar.TypeSymlink, Linkname: "/etc"})},
		{"hard link", whole, more(tar.Header{Name: "evil", Typeflag: tar.TypeLink, Linkname: "dep.go"})},
		{"folder", whole, more(tar.Header{Name: "evil/", Typeflag: tar.TypeDir})},
		{"line end in a name", whole, pack(tar.Header{Name: "a\nb", Size: 1})},
		{"backslash", whole, pack(tar.Header{Name: `a\..\..\b`, Size: 1})},
		{"another go.mod", mod, []byte("module " + depPath + "\n\ngo 1.25\n")},
		{"another version's info", info, []byte(`{"Version":"v1.0.1"}`)},
		{"no info", info, []byte("no info")},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := folder(t)
			to.Path = filepath.Join(to.Path, "modules")
			err := to.Put(test.of, bytes.NewReader(test.content))
			if err == nil {
				t.Fatal("it was taken for good")
			}
			t.Log(err)
			if to.Has(test.of) {
				t.Error("go would find it")
			}
			filepath.WalkDir(filepath.Dir(to.Path), func(path string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() && filepath.Ext(path) != ".lock" {
					t.Errorf("there is %s", path)
				}
				return err
			})
			content := good
			if test.of.Of != Tree {
				content = written(t, from, test.of)
			}
			if err := to.Put(test.of, bytes.NewReader(content)); err != nil || !to.Has(test.of) {
				t.Errorf("then the right one: %v", err)
			}
		})
	}
}

// TestLocalDamageStays: what somebody edited in the module cache is not written.
func TestLocalDamageStays(t *testing.T) {
	from, sums := fetched(t)
	for _, s := range sums {
		path, _ := from.small(s)
		if s.Of == Tree {
			path = filepath.Join(from.dir(s), "dep.go")
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		put(t, path, "edited")
		if err := from.Write(s, &bytes.Buffer{}); err == nil {
			t.Errorf("%v: it is written", s)
		}
	}
}

func TestReadSums(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go.sum")
	put(t, file, `a.test/B v1.0.0 h1:x=
a.test/B v1.0.0/go.mod h1:y=
a.test/B v1.0.0 h1:x=

a.test/twice v1.0.0 h1:x=
a.test/twice v1.0.0 h1:y=
a.test/twice v1.0.0 h1:y=
a.test/../.. v1.0.0 h1:x=
/a.test v1.0.0 h1:x=
a.test/b ../v1.0.0 h1:x=
a.test/b v1.0.0/../.. h1:x=
a.test/!b v1.0.0 h1:x=
a.test/b v1.0.0 h2:x=
a.test/b v1.0.0
`)
	want := []Sum{{"a.test/B", "v1.0.0", Tree, "h1:x="}, {"a.test/B", "v1.0.0", Info, "h1:x="}, {"a.test/B", "v1.0.0", Mod, "h1:y="}}
	if got := ReadSums(file, filepath.Join(t.TempDir(), "absent")); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
