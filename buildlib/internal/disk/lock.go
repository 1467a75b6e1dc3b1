package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Lock is an exclusive lock on a file, held until Unlock or the end of the
// process, however it ends.
type Lock struct {
	f    *os.File
	path string
}

// ErrLocked is what TryLock returns when another process, or this one, holds
// the lock.
var ErrLocked = errors.New("locked by another process")

// held are the locks of this process. On some systems a process can lock a file that
// it has locked, and loses the lock when it closes any descriptor of the file.
var held sync.Map // the holder by absolute path

// TryLock takes the lock at path, or returns ErrLocked at once. The file holds the
// holder's name, for those who wait. It is an error if path is not a regular file,
// such as a symbolic link: it is written to.
func TryLock(path, holder string) (_ *Lock, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, taken := held.LoadOrStore(abs, holder); taken {
		return nil, ErrLocked
	}
	defer func() {
		if err != nil {
			held.Delete(abs)
		}
	}()
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s should be a lock file but is %s: remove it", path, kind(info.Mode()))
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	// The name is for people only: the lock works without it.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(holder+"\n"), 0)
	}
	return &Lock{f, abs}, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a folder"
	}
	return "something else"
}

// WaitLock takes the lock at path, waiting for it until ctx ends. If it has to wait, it
// calls waiting once, with the holder's name.
func WaitLock(ctx context.Context, path, holder string, waiting func(holder string)) (*Lock, error) {
	for first := true; ; first = false {
		l, err := TryLock(path, holder)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		if first {
			waiting(holderOf(path))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the lock %s: %w", path, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// holderOf returns the name of a lock's holder, or "".
func holderOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		if own, ok := held.Load(abs); ok {
			return own.(string) // reading the file could lose the lock
		}
	}
	name, _ := os.ReadFile(path)
	return strings.TrimSpace(string(name))
}

// Unlock frees the lock. The file stays: if it were removed, two processes could lock
// two files with the same name.
func (l *Lock) Unlock() error {
	err := l.f.Close()
	held.Delete(l.path)
	return err
}
