// Package store is the content-addressed cache that outlives a build: the
// blobs of bases and layers by digest, and small records by key. Several
// processes may use one store at the same time. Whatever is missing, corrupt or
// trimmed is made again.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Store is a cache below one folder:
//
//	blobs/sha256/HEX          a blob, read-only
//	seen/sha256/HEX           a record: the identity the blob had when it was last hashed
//	records/KIND/HEX.json     a record, HEX being the sha256 of its key
//	trimmed                   its time is that of the last trim
//	tmp/                      what is being written, a folder per process
type Store struct {
	dir     string
	warn    func(text string)
	scratch *disk.Scratch

	mu      sync.Mutex
	ctx     context.Context
	used    map[string]bool // the blobs, by hex, and records, by path, that this process used
	grown   int64           // bytes put by this process
	dropped int             // blobs that were found to be corrupt
	warned  bool
	closed  bool
	limit   int64 // bytes to keep, for tests; 0: maxSize
}

// Open opens the store at dir, making it if needed, and sweeps what killed processes
// left there. Hashing and writing end with ctx. warn is called at most once, if
// something can't be kept; it may be nil. Close the store.
func Open(ctx context.Context, dir string, warn func(text string)) (*Store, error) {
	s := &Store{dir: dir, ctx: ctx, warn: warn, used: map[string]bool{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	for _, sub := range []string{"blobs/sha256", "seen/sha256", "records", "tmp"} {
		if _, err := disk.MakeFolder(dir, filepath.FromSlash(sub)); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	scratch, err := disk.NewScratch(ctx, filepath.Join(dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s.scratch = scratch
	return s, nil
}

// Close removes this process's temporary files, and trims the store if that is due.
// Blobs can still be read: a later step may publish them.
func (s *Store) Close() error {
	s.trim(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.closed = context.Background(), true
	return s.scratch.Remove()
}

// context returns the context that ends hashing and writing.
func (s *Store) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx
}

func (s *Store) blobPath(h v1.Hash) string { return filepath.Join(s.dir, "blobs", "sha256", h.Hex) }
func (s *Store) seenPath(h v1.Hash) string { return filepath.Join(s.dir, "seen", "sha256", h.Hex) }

// Blob returns the file that holds the blob h. It is hashed, unless its identity shows
// that it was hashed before. If it isn't there, or is corrupt, the error is an
// fs.ErrNotExist.
func (s *Store) Blob(h v1.Hash) (string, error) {
	path := s.blobPath(h)
	id, err := disk.Identify(path)
	if err != nil {
		return "", missing(h)
	}
	var seen disk.Identity
	if disk.ReadRecord(s.seenPath(h), &seen) == nil && id.Same(seen) {
		s.use(h)
		return path, nil
	}
	return path, s.Verify(h)
}

// Verify hashes the blob h, also if it was hashed before, and drops it if it is
// corrupt. The error is an fs.ErrNotExist then, or if it isn't there.
func (s *Store) Verify(h v1.Hash) error {
	path := s.blobPath(h)
	id, err := disk.Identify(path)
	if err != nil {
		return missing(h)
	}
	got, err := disk.SHA256(s.context(), path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(h)
	case err != nil:
		return err
	case got != h:
		s.drop(h)
		return missing(h)
	}
	s.see(h, id)
	s.use(h)
	return nil
}

func missing(h v1.Hash) error {
	return fmt.Errorf("cache: blob %s: %w", h, fs.ErrNotExist)
}

// Open opens the blob h. What is read is hashed, because a disk may change a file but
// not its identity. If the content is wrong, the last Read returns a disk.ErrContent,
// and the blob is dropped, so that it is made again.
func (s *Store) Open(h v1.Hash) (io.ReadCloser, error) {
	path, err := s.Blob(h)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err // perhaps another process has just trimmed it
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &reader{f: f, s: s, h: h, sum: sha256.New(), left: info.Size()}, nil
}

// reader reads and verifies a blob. It hides the other methods of its file.
type reader struct {
	f    *os.File
	s    *Store
	h    v1.Hash
	sum  hash.Hash
	left int64 // bytes
}

// Read withholds the last bytes of a corrupt blob: whoever sends a blob of known size
// doesn't read to the EOF.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	ended := err == nil && r.left <= 0 || errors.Is(err, io.EOF)
	if !ended || hex.EncodeToString(r.sum.Sum(nil)) == r.h.Hex {
		return n, err
	}
	r.s.drop(r.h)
	return 0, fmt.Errorf("cache: blob %s: %w: it is dropped, and the next run makes it again", r.h, disk.ErrContent)
}

func (r *reader) Close() error { return r.f.Close() }

// drop removes a corrupt blob.
func (s *Store) drop(h v1.Hash) {
	s.mu.Lock()
	s.dropped++
	s.mu.Unlock()
	s.remove(h)
}

// Dropped is how many blobs turned out to be corrupt since Open. Links to them
// are corrupt, too.
func (s *Store) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Link makes dst the blob h, as a hard link where the file system can. tmp is
// a folder on dst's file system.
func (s *Store) Link(h v1.Hash, dst, tmp string) error {
	path, err := s.Blob(h)
	if err != nil {
		return err
	}
	if disk.Same(path, dst) {
		return nil
	}
	err = disk.Link(s.context(), path, dst, tmp, h)
	if errors.Is(err, disk.ErrContent) {
		s.drop(h)
		return missing(h)
	}
	if err != nil {
		return err
	}
	// A new link changes the identity (its change time).
	if id, err := disk.Identify(path); err == nil {
		s.see(h, id)
	}
	return nil
}

// see records that the file with the identity id was hashed and is the blob h. If that
// fails, the blob is hashed again.
func (s *Store) see(h v1.Hash, id disk.Identity) {
	_ = disk.WriteRecord(s.seenPath(h), s.scratch.Dir, id)
}

func (s *Store) remove(h v1.Hash) {
	os.Remove(s.blobPath(h))
	os.Remove(s.seenPath(h))
}

// Put stores the content of r and returns its digest and size in bytes. If it doesn't
// have the digest want, nothing is stored; a zero want is any digest.
func (s *Store) Put(want v1.Hash, r io.Reader) (v1.Hash, int64, error) {
	w, err := s.Create()
	if err != nil {
		return v1.Hash{}, 0, err
	}
	defer w.Close()
	if _, err := io.Copy(w, disk.Reader(s.context(), r)); err != nil {
		return v1.Hash{}, 0, err
	}
	return w.Commit(want)
}

// Create returns a Writer for a new blob. Close it, committed or not.
func (s *Store) Create() (*Writer, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, errors.New("the cache is closed: the next run makes what is missing")
	}
	f, err := os.CreateTemp(s.scratch.Dir, "blob-*")
	if err != nil {
		return nil, err
	}
	return &Writer{s: s, f: f, sum: sha256.New()}, nil
}

// Writer takes the bytes of a blob that is not yet in the store.
type Writer struct {
	s    *Store
	f    *os.File
	sum  hash.Hash
	size int64
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Commit puts the blob into the store, if it has the digest want or want is zero, and
// returns its digest and size in bytes.
func (w *Writer) Commit(want v1.Hash) (v1.Hash, int64, error) {
	got := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.sum.Sum(nil))}
	if want != (v1.Hash{}) && got != want {
		return got, w.size, fmt.Errorf("wrong content: got %s of %d bytes, want %s", got, w.size, want)
	}
	if err := errors.Join(w.f.Chmod(0o444), w.f.Close()); err != nil {
		return got, w.size, err
	}
	path := w.s.blobPath(got)
	if err := disk.Rename(w.f.Name(), path); err != nil {
		return got, w.size, err
	}
	if id, err := disk.Identify(path); err == nil {
		w.s.see(got, id)
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.used[got.Hex] = true
	w.s.grown += w.size
	return got, w.size, nil
}

// Close drops a blob that was not committed.
func (w *Writer) Close() error {
	w.f.Close() // Commit may have closed it
	if err := os.Remove(w.f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Store) recordPath(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, "records", kind, hex.EncodeToString(sum[:])+".json")
}

// Load reads the record of that kind and key into v, and reports whether it is there
// and undamaged.
func (s *Store) Load(kind, key string, v any) bool {
	path := s.recordPath(kind, key)
	if err := disk.ReadRecord(path, v); err != nil {
		if errors.Is(err, disk.ErrDamaged) {
			os.RemoveAll(path)
		}
		return false
	}
	s.touch(path, path)
	return true
}

// Save keeps v, which is a JSON object, as the record of that kind and key. If it can't
// be written, say to a full disk, that is only a warning: it can be made again.
func (s *Store) Save(kind, key string, v any) {
	_, err := disk.MakeFolder(s.dir, filepath.Join("records", kind))
	if err == nil {
		err = disk.WriteRecord(s.recordPath(kind, key), s.scratch.Dir, v)
	}
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.warned && s.warn != nil && s.ctx.Err() == nil {
		s.warned = true
		s.warn(fmt.Sprintf("cache: the next run will repeat work, because results can't be kept: %v", err))
	}
}
