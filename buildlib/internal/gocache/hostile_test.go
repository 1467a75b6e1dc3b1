package gocache

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// made is a folder with outputs of these contents, each of an action of its own.
func made(t *testing.T, contents ...string) (Folder, []Entry) {
	t.Helper()
	f := Folder(t.TempDir())
	if err := f.makeFolders(); err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for _, content := range contents {
		e := Entry{sha256.Sum256([]byte("action of " + content)), sha256.Sum256([]byte(content)), int64(len(content))}
		if err := os.WriteFile(f.path(e.Output, outputFile), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := f.put(e, time.Now()); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return f, entries
}

// hostile is a layer with the members.
func hostile(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, h := range members {
		h.Mode = 0o777
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostilePacks(t *testing.T) {
	from, entries := made(t, strings.Repeat("one", 1000), strings.Repeat("two", 200_000))
	x, _ := update(t, Index{}, from, entries)
	p := x.Packs[0]
	good, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	name, size := fileName(entries[0].Output, outputFile), entries[0].Size
	for _, test := range []struct {
		name  string
		layer []byte
	}{
		{"cut off", good[:len(good)/2]},
		{"empty", nil},
		{"no zstd", []byte(strings.Repeat("no zstd", 100))},
		{"no tar", hostile(t)},
		{"other content", hostile(t, tar.Header{Name: name, Size: size})},
		{"other size", hostile(t, tar.Header{Name: name, Size: size + 1})},
		{"path out of the folder", hostile(t, tar.Header{Name: "../../" + name, Size: size})},
		{"absolute path", hostile(t, tar.Header{Name: "/" + name, Size: size})},
		{"link", hostile(t, tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})},
		{"folder", hostile(t, tar.Header{Name: name, Typeflag: tar.TypeDir})},
		{"file of another name", hostile(t, tar.Header{Name: "trim.txt", Size: 1})},
		{"action", hostile(t, tar.Header{Name: fileName(entries[0].Action, actionFile), Size: 1})},
		{"bomb", hostile(t, tar.Header{Name: name, Size: 100 << 20})},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			to := Folder(filepath.Join(parent, "cache"))
			_, err := to.Unpack(t.Context(), p, bytes.NewReader(test.layer))
			if err == nil {
				t.Fatal("it was taken for good")
			}
			t.Log(err)
			checkFolder(t, parent, to, entries)
			// What is right can be had afterwards.
			if n, err := to.Unpack(t.Context(), p, bytes.NewReader(good)); n != len(entries) || err != nil {
				t.Errorf("then the right pack gave %d entries (%v)", n, err)
			}
		})
	}
}

// checkFolder fails for each file but the entries' right ones.
func checkFolder(t *testing.T, parent string, f Folder, entries []Entry) {
	t.Helper()
	allowed := map[string]Entry{}
	for _, e := range entries {
		allowed[f.path(e.Output, outputFile)], allowed[f.path(e.Action, actionFile)] = e, e
	}
	err := filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		e, ok := allowed[path]
		if !ok || !d.Type().IsRegular() {
			t.Errorf("there is %s (%v)", path, d.Type())
			return nil
		}
		if data, err := os.ReadFile(f.path(e.Output, outputFile)); err != nil || sha256.Sum256(data) != e.Output {
			t.Errorf("%s has another content (%v)", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLocalDamageIsNotPacked(t *testing.T) {
	f, entries := made(t, "one", "two", "three")
	if err := os.WriteFile(f.path(entries[1].Output, outputFile), []byte("TWO"), 0o666); err != nil {
		t.Fatal(err)
	}
	x, _ := update(t, Index{}, f, entries)
	if len(x.Packs) != 1 || len(x.Packs[0].Entries) != 2 {
		t.Errorf("packed %v", x)
	}
	to := Folder(t.TempDir())
	if n := restore(t, x, to); n != 2 {
		t.Errorf("restored %d entries", n)
	}
}

func TestIndexRefusesWhatItCantBelieve(t *testing.T) {
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
	huge := Aged{Entry: Entry{Size: maxOutput + 1}}
	many := func(n int) (entries []Aged) {
		for i := range n {
			entries = append(entries, Aged{Entry: Entry{Output: ID{byte(i)}, Size: maxOutput}})
		}
		return entries
	}
	for name, x := range map[string]Index{
		"output":  {Packs: []Pack{{Digest: digest, Entries: []Aged{huge}}}},
		"outputs": {Packs: []Pack{{Digest: digest, Entries: many(3)}}},
		"layer":   {Packs: []Pack{{Digest: digest, Size: MaxPack + 1}}},
		"packs":   {Packs: make([]Pack, maxPacks+1)},
	} {
		text, err := x.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(text); err == nil {
			t.Errorf("%s: it was believed", name)
		}
	}
	for _, text := range []string{"", "{", "null", `{"Format":2}`, `{"Format":1,"Packs":[{"Entries":"AAAA"}]}`, `{"Format":1,"Packs":[{"Entries":"%"}]}`} {
		if _, err := decode(text); err == nil {
			t.Errorf("%q was believed", text)
		}
	}
}
