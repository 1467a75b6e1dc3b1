package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Lock is an exclusive lock on a file, held until Unlock or the end of the
// process, however it ends.
type Lock struct{ f *os.File }

// ErrLocked is what TryLock returns when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// TryLock takes the lock at path, or returns ErrLocked at once. The holder's
// name is kept in the file for those who wait.
func TryLock(path, holder string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	// The name is for people only: a lock without it is a lock all the same.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(holder+"\n"), 0)
	}
	return &Lock{f}, nil
}

// WaitLock takes the lock at path, waiting for it until ctx ends. waiting is
// called once, with the holder's name, if it has to wait.
func WaitLock(ctx context.Context, path, holder string, waiting func(holder string)) (*Lock, error) {
	told := false
	for {
		l, err := TryLock(path, holder)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		if !told {
			told = true
			name, _ := os.ReadFile(path)
			waiting(strings.TrimSpace(string(name)))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the lock %s: %w", path, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Unlock frees the lock. The file stays: removing it would let two processes
// lock two files of one name.
func (l *Lock) Unlock() error { return l.f.Close() }
