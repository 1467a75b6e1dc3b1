package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
			if err := s.Save(kind, key, note{kind + " " + key}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range []string{"alpine", "../../alpine", "a/b\x00c"} {
		for _, kind := range []string{"base", "layer"} {
			if n, ok := load(kind, key); !ok || n.Name != kind+" "+key {
				t.Errorf("loaded %v, %v of %s %q", n, ok, kind, key)
			}
		}
	}
	if err := s.Save("base", "alpine", note{"newer"}); err != nil {
		t.Fatal(err)
	}
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
		if err := s.Save("base", key, note{key}); err != nil {
			t.Fatal(err)
		}
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
	has(t, s, "used") // which is a use
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

func TestTrimOnceADay(t *testing.T) {
	s := open(t, t.TempDir())
	now := time.Now()
	s.trim(now)
	h := put(t, s, "content")
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
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	h := put(t, s, "content")
	age(t, s.seenPath(h), 40*day)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hasNot(t, s, h)
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
	_, err := Open(t.Context(), filepath.Join(file, "cache"))
	if err == nil || !strings.HasPrefix(err.Error(), "cache: ") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one that names the cache's folder", err)
	}
}
