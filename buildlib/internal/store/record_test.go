package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

type note struct{ Name string }

func TestRecords(t *testing.T) {
	s := open(t, t.TempDir())
	load := func(kind, key string) (note, bool) {
		var n note
		ok := s.Load(kind, key, &n)
		return n, ok
	}
	if n, ok := load("base", "alpine"); ok {
		t.Errorf("loaded %v before anything was saved", n)
	}
	// A key may hold what no file name can.
	for _, key := range []string{"alpine", "../../alpine", "a/b\x00c"} {
		for _, kind := range []string{"base", "layer"} {
			s.Save(kind, key, note{kind + " " + key})
		}
	}
	for _, key := range []string{"alpine", "../../alpine", "a/b\x00c"} {
		for _, kind := range []string{"base", "layer"} {
			if n, ok := load(kind, key); !ok || n.Name != kind+" "+key {
				t.Errorf("loaded %v, %v of %s %q", n, ok, kind, key)
			}
		}
	}
	s.Save("base", "alpine", note{"newer"})
	if n, ok := load("base", "alpine"); !ok || n.Name != "newer" {
		t.Errorf("loaded %v, %v, want what was saved last", n, ok)
	}
	good, err := os.ReadFile(s.recordPath("base", "alpine"))
	if err != nil {
		t.Fatal(err)
	}
	// One bit that leaves the record valid JSON, and nothing else would notice.
	flipped := strings.Replace(string(good), "newer", "nfwer", 1)
	for _, damaged := range []string{flipped, "", "{", `{"Name":`, "null garbage", `[1]`} {
		if err := os.WriteFile(s.recordPath("base", "alpine"), []byte(damaged), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, ok := load("base", "alpine"); ok {
			t.Errorf("loaded %v of %q", n, damaged)
		}
		if _, err := os.Stat(s.recordPath("base", "alpine")); !os.IsNotExist(err) {
			t.Errorf("the damaged record %q is still there: %v", damaged, err)
		}
	}
}

// age makes a file look as if it was last used that long ago.
func age(t *testing.T, path string, d time.Duration) {
	t.Helper()
	at := time.Now().Add(-d)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

const day = 24 * time.Hour

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	old, used, young, unseen := put(t, s, "old"), put(t, s, "used"), put(t, s, "young"), put(t, s, "unseen")
	for key, d := range map[string]time.Duration{"old": 40 * day, "used": 40 * day, "young": 20 * day} {
		s.Save("base", key, note{key})
		age(t, s.recordPath("base", key), d)
	}
	for _, h := range []struct {
		path string
		d    time.Duration
	}{
		{s.seenPath(old), 40 * day}, {s.seenPath(used), 40 * day}, {s.seenPath(young), 20 * day},
		// The blob of a base that is in use every day is old itself.
		{s.blobPath(young), 400 * day},
	} {
		age(t, h.path, h.d)
	}
	os.Remove(s.seenPath(unseen))
	age(t, s.blobPath(unseen), 40*day)
	// A later run uses what another one made.
	s = open(t, dir)
	has(t, s, "used")
	var n note
	s.Load("base", "used", &n)

	s.trim(time.Now())

	hasNot(t, s, old)
	hasNot(t, s, unseen)
	has(t, s, "used")
	has(t, s, "young")
	for key, want := range map[string]bool{"old": false, "used": true, "young": true} {
		if got := s.Load("base", key, &n); got != want {
			t.Errorf("record %s is there: %v, want %v", key, got, want)
		}
	}
}

// What is too much goes, the longest unused first, but nothing that may be in
// use: by this run, or by another one that began an hour ago.
func TestTrimBySize(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ages := map[string]time.Duration{"oldest": 20 * day, "old": 10 * day, "used": 15 * day, "young": 2 * day, "recent": time.Hour}
	hashes := map[string]v1.Hash{}
	for name, d := range ages {
		hashes[name] = put(t, s, name+strings.Repeat(".", 1000-len(name)))
		age(t, s.seenPath(hashes[name]), d)
	}
	s.Save("base", "old", note{"old"})
	age(t, s.recordPath("base", "old"), 11*day)

	s = open(t, dir)
	if _, err := s.Blob(hashes["used"]); err != nil {
		t.Fatal(err)
	}
	s.limit = 3500
	s.trim(time.Now())
	for name, want := range map[string]bool{"oldest": false, "old": false, "used": true, "young": true, "recent": true} {
		if _, err := os.Stat(s.blobPath(hashes[name])); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
		if _, err := os.Stat(s.seenPath(hashes[name])); (err == nil) != want {
			t.Errorf("the note of %s is there: %v, want %v", name, err == nil, want)
		}
	}
	var n note
	if s.Load("base", "old", &n) {
		t.Error("a record as old as a blob that went is there")
	}

	// Another look is due tomorrow, or when there is more. What is recent
	// stays, however much it is.
	s.limit = 1
	s.trim(time.Now())
	if _, err := os.Stat(s.blobPath(hashes["young"])); err != nil {
		t.Error("looked again, though nothing was added")
	}
	put(t, s, "more")
	s.trim(time.Now())
	if _, err := os.Stat(s.blobPath(hashes["young"])); err == nil {
		t.Error("something was added, and nobody looked")
	}
	for _, name := range []string{"used", "recent"} {
		if _, err := os.Stat(s.blobPath(hashes[name])); err != nil {
			t.Errorf("%s, which may be in use, is gone", name)
		}
	}
}

func TestTrimOnceADay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	h := put(t, s, "content")
	age(t, s.seenPath(h), 40*day)
	s = open(t, dir)
	now := time.Now()
	age(t, s.seenPath(h), 0)
	s.trim(now)
	age(t, s.seenPath(h), 40*day)
	s.trim(now.Add(23 * time.Hour))
	if _, err := os.Stat(s.blobPath(h)); err != nil {
		t.Errorf("trimmed twice in a day: %v", err)
	}
	s.trim(now.Add(25 * time.Hour))
	hasNot(t, s, h)
}

func TestCloseTrims(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := put(t, s, "content")
	age(t, s.seenPath(h), 40*day)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(dir, "trimmed"), 2*day)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hasNot(t, s, h)
}

func TestTrimFollowsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	age(t, victim, 400*day)
	s := open(t, dir)
	for _, path := range []string{filepath.Join(dir, "trimmed"), filepath.Join(dir, "records", "kind")} {
		to := victim
		if filepath.Base(path) == "kind" {
			to = outside
		}
		if err := os.Symlink(to, path); err != nil {
			t.Skip(err)
		}
	}
	s.Save("kind", "key", note{"a"})
	s.trim(time.Now())
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target holds %q, %v", got, err)
	}
	if info, err := os.Stat(victim); err != nil || time.Since(info.ModTime()) < 300*day {
		t.Errorf("the link's target was touched: %v", err)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("written through a link: %v, %v", list, err)
	}
	for _, sub := range []string{"blobs", "blobs/sha256", "seen/sha256", "records", "tmp"} {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(sub))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), path+" is a symbolic link") {
			t.Errorf("%s: error %v, want one that names the link", sub, err)
		}
	}
}

// A record that can't be kept is one to make again.
func TestSaveWarnsOnce(t *testing.T) {
	var warned []string
	s, err := Open(t.Context(), t.TempDir(), func(text string) { warned = append(warned, text) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(filepath.Join(s.dir, "records", "kind"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		s.Save("kind", key, note{key})
	}
	if len(warned) != 1 || !strings.Contains(warned[0], filepath.Join("records", "kind")) {
		t.Errorf("warned %q, want once, with the reason", warned)
	}
}

// A killed run's half-written blobs go with the next one.
func TestOpenSweeps(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "tmp", "run-dead")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "blob-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("what a killed run left is still there: %v", err)
	}
}

func TestOpenNamesTheCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), filepath.Join(file, "cache"), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "cache: ") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one that names the cache's folder", err)
	}
}
