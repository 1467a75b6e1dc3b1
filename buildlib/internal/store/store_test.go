package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

func digest(t *testing.T, content string) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func put(t *testing.T, s *Store, content string) v1.Hash {
	t.Helper()
	h, size, err := s.Put(v1.Hash{}, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if h != digest(t, content) || size != int64(len(content)) {
		t.Fatalf("put %q: %s of %d bytes", content, h, size)
	}
	return h
}

// has checks that the store gives the blob, whole.
func has(t *testing.T, s *Store, content string) string {
	t.Helper()
	path, err := s.Blob(digest(t, content))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Fatalf("the blob holds %q, %v, want %q", got, err, content)
	}
	return path
}

// hasNot checks that the store says that the blob isn't there, and leaves no
// file of it.
func hasNot(t *testing.T, s *Store, h v1.Hash) {
	t.Helper()
	if path, err := s.Blob(h); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Blob: %q, %v, want fs.ErrNotExist", path, err)
	}
	for _, path := range []string{s.blobPath(h), s.seenPath(h)} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestBlobOutlivesTheRun(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, first, "content")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	path := has(t, s, "content")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o444 {
		t.Errorf("the blob has mode %v: its links in layouts could be edited in place", info.Mode())
	}
	hasNot(t, s, digest(t, "never put"))
}

func TestPutKeepsNothingBad(t *testing.T) {
	broken := errors.New("connection reset by peer")
	for _, tt := range []struct {
		name string
		want string // the content it is said to have
		r    io.Reader
		err  string
	}{
		{"wrong bytes", "content", strings.NewReader("c0ntent"), "wrong content"},
		{"too few bytes", "content", strings.NewReader("cont"), "of 4 bytes"},
		{"reader fails", "content", io.MultiReader(strings.NewReader("cont"), iotest.ErrReader(broken)), broken.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			want := digest(t, tt.want)
			_, _, err := s.Put(want, tt.r)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one that says %q", err, tt.err)
			}
			hasNot(t, s, want)
			for _, dir := range []string{filepath.Join(s.dir, "blobs", "sha256"), s.scratch.Dir} {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("%s holds %v, %v", dir, left, err)
				}
			}
		})
	}
}

// edit changes a file in place and restores its modification time, as a
// careless tool or a bad disk does.
func edit(t *testing.T, path string, change func(f *os.File) error) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // the clock that stamps files is coarse
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o444), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptBlobIsMissing(t *testing.T) {
	const content = "the content of a layer"
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, s *Store, h v1.Hash)
	}{
		{"byte flipped", func(t *testing.T, s *Store, h v1.Hash) {
			edit(t, s.blobPath(h), func(f *os.File) error { _, err := f.WriteAt([]byte{'T'}, 0); return err })
		}},
		{"truncated", func(t *testing.T, s *Store, h v1.Hash) {
			edit(t, s.blobPath(h), func(f *os.File) error { return f.Truncate(5) })
		}},
		{"grown", func(t *testing.T, s *Store, h v1.Hash) {
			edit(t, s.blobPath(h), func(f *os.File) error { _, err := f.WriteAt([]byte("!"), int64(len(content))); return err })
		}},
		{"emptied by a power cut, and not seen", func(t *testing.T, s *Store, h v1.Hash) {
			edit(t, s.blobPath(h), func(f *os.File) error { return f.Truncate(0) })
			os.Remove(s.seenPath(h))
		}},
		{"byte flipped, and the note of it damaged", func(t *testing.T, s *Store, h v1.Hash) {
			edit(t, s.blobPath(h), func(f *os.File) error { _, err := f.WriteAt([]byte{'T'}, 0); return err })
			if err := os.WriteFile(s.seenPath(h), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			h := put(t, s, content)
			has(t, s, content)
			tt.damage(t, s, h)
			hasNot(t, s, h)
			put(t, s, content) // it is made again
			has(t, s, content)
		})
	}
}

// rot flips a bit of a blob as a bad disk does, which no time tells: the note
// of the blob is made to fit.
func rot(t *testing.T, s *Store, h v1.Hash) {
	t.Helper()
	edit(t, s.blobPath(h), func(f *os.File) error { _, err := f.WriteAt([]byte{'!'}, 0); return err })
	id, err := disk.Identify(s.blobPath(h))
	if err != nil {
		t.Fatal(err)
	}
	s.see(h, id)
}

func TestRotIsNoticedWhereBytesAreRead(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, s *Store, h v1.Hash) error{
		"read": func(t *testing.T, s *Store, h v1.Hash) error {
			r, err := s.Open(h)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		},
		"sent": func(t *testing.T, s *Store, h v1.Hash) error {
			r, err := s.Open(h)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.ReadFull(r, make([]byte, len("content"))) // not on to the end
			return err
		},
		"verified": func(t *testing.T, s *Store, h v1.Hash) error { return s.Verify(h) },
		"copied": func(t *testing.T, s *Store, h v1.Hash) error {
			out, err := os.MkdirTemp("/dev/shm", "store")
			if err != nil {
				t.Skip("needs a second file system: ", err)
			}
			defer os.RemoveAll(out)
			err = s.Link(h, filepath.Join(out, "blob"), out)
			if disk.Same(s.blobPath(h), filepath.Join(out, "blob")) {
				t.Skip("needs a second file system")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			h := put(t, s, "content")
			if err := use(t, s, h); err != nil {
				t.Fatalf("of the good blob: %v", err)
			}
			rot(t, s, h)
			if err := use(t, s, h); !errors.Is(err, disk.ErrContent) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v, want ErrContent or ErrNotExist", err)
			}
			hasNot(t, s, h)
			if s.Dropped() != 1 {
				t.Errorf("%d blobs were dropped, want 1", s.Dropped())
			}
			put(t, s, "content")
			has(t, s, "content")
		})
	}
}

func TestWorkEndsWithTheContext(t *testing.T) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := put(t, s, "content")
	os.Remove(s.seenPath(h))
	cancel(why)
	if _, err := s.Blob(h); !errors.Is(err, why) {
		t.Errorf("hashing: %v, want the context's cause", err)
	}
	if _, _, err := s.Put(v1.Hash{}, strings.NewReader("more")); !errors.Is(err, why) {
		t.Errorf("writing: %v, want the context's cause", err)
	}
	if _, err := os.Stat(s.blobPath(h)); err != nil {
		t.Errorf("the blob that was not looked at to its end is gone: %v", err)
	}
	// A later step may publish what an earlier one made.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "content" {
		t.Errorf("read %q, %v of a closed store", got, err)
	}
}

func TestReplacedBlobs(t *testing.T) {
	s := open(t, t.TempDir())
	h := put(t, s, "content")
	path := s.blobPath(h)

	// Equal bytes in another file, as a restored backup has them, are good.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o444); err != nil {
		t.Fatal(err)
	}
	has(t, s, "content")

	// A link out of the store is not the store's blob.
	aside := filepath.Join(t.TempDir(), "aside")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(aside, path); err != nil {
		t.Fatal(err)
	}
	if path, err := s.Blob(h); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Blob gives %q, %v for a symbolic link", path, err)
	}
	put(t, s, "content")
	if info, err := os.Lstat(has(t, s, "content")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the blob put again is %v, %v", info.Mode(), err)
	}
}

// Linking a blob changes its change time. If the note of it weren't refreshed,
// each later look would read all of the blob again: 1 s per GB.
func TestLinkKeepsTheBlobKnown(t *testing.T) {
	s := open(t, t.TempDir())
	h := put(t, s, "content")
	out := t.TempDir()
	for i := range 3 {
		dst := filepath.Join(out, fmt.Sprint("blob", i))
		if err := s.Link(h, dst, out); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(dst); err != nil || string(got) != "content" {
			t.Fatalf("linked %q, %v", got, err)
		}
	}
	if !known(t, s, h) {
		t.Error("the blob would be hashed again")
	}
	edit(t, filepath.Join(out, "blob0"), func(f *os.File) error { _, err := f.WriteAt([]byte{'C'}, 0); return err })
	if err := s.Link(h, filepath.Join(out, "late"), out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob edited through its link was linked: %v", err)
	}
	if err := s.Link(digest(t, "never put"), filepath.Join(out, "none"), out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("linking what isn't there: %v, want fs.ErrNotExist", err)
	}
}

// known reports whether a look at the blob leaves the note of it as it is,
// which it does only if the identity sufficed.
func known(t *testing.T, s *Store, h v1.Hash) bool {
	t.Helper()
	before, err := os.Stat(s.seenPath(h))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(h); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(s.seenPath(h))
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(before, after) // a new note is a new file
}

func TestKnownNoticesANewNote(t *testing.T) {
	s := open(t, t.TempDir())
	h := put(t, s, "content")
	if !known(t, s, h) {
		t.Error("a blob just put is hashed again")
	}
	if err := os.Link(s.blobPath(h), filepath.Join(t.TempDir(), "link")); err != nil {
		t.Fatal(err)
	}
	if known(t, s, h) {
		t.Error("a changed identity was trusted")
	}
	if !known(t, s, h) {
		t.Error("a blob that was hashed is hashed again")
	}
}

func TestWritersOfOneBlob(t *testing.T) {
	dir := t.TempDir()
	content := string(bytes.Repeat([]byte("layer "), 50_000))
	h := digest(t, content)
	var all sync.WaitGroup
	for range 4 { // as many processes
		s := open(t, dir)
		all.Go(func() {
			for range 5 {
				if _, _, err := s.Put(h, strings.NewReader(content)); err != nil {
					t.Error(err)
				}
				if _, err := s.Blob(h); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	has(t, open(t, dir), content)
	if blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256")); err != nil || len(blobs) != 1 {
		t.Errorf("the store holds %v, %v, want one blob", blobs, err)
	}
}

func TestWriterClosedUncommitted(t *testing.T) {
	s := open(t, t.TempDir())
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "half"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	hasNot(t, s, digest(t, "half"))
	if left, err := os.ReadDir(s.scratch.Dir); err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
}

// What failed is run again, and what was made is not.
func TestMemoRemembers(t *testing.T) {
	var m Memo[int]
	runs := 0
	for i, want := range []error{errors.New("fails"), nil, nil} {
		v, err := m.Do(t.Context(), "key", func() (int, error) {
			runs++
			return runs, want
		})
		if (err != nil) != (want != nil) || want == nil && v != 2 {
			t.Errorf("call %d: %d, %v", i, v, err)
		}
	}
	if runs != 2 {
		t.Errorf("work ran %d times, want 2", runs)
	}
}
