package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Scratch is a folder of this process's own for temporary files. It is held by
// a lock beside it, so that a folder whose lock is free is nobody's: what a
// killed process left is swept by the next one.
type Scratch struct {
	Dir  string
	lock *Lock
}

// NewScratch makes a scratch folder below parent, which is ours and no link,
// and sweeps those there whose process has ended without removing them. One
// that can't be swept, as another user's, stays.
func NewScratch(ctx context.Context, parent string) (*Scratch, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := CheckFolder(parent); err != nil {
		return nil, err
	}
	me := fmt.Sprint("process ", os.Getpid())
	// Sweeping and making are one step, or a folder could be swept between
	// its making and its locking.
	gate, err := WaitLock(ctx, filepath.Join(parent, "lock"), me, func(string) {})
	if err != nil {
		return nil, err
	}
	defer gate.Unlock()
	sweep(parent)
	dir, err := os.MkdirTemp(parent, "run-")
	if err != nil {
		return nil, err
	}
	lock, err := TryLock(lockPath(dir), me)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &Scratch{dir, lock}, nil
}

// Remove removes the folder with all it holds.
func (s *Scratch) Remove() error {
	err := errors.Join(os.RemoveAll(s.Dir), s.lock.Unlock())
	// One that sweeps may come between and remove the lock first; a lock
	// that stays is swept by the next one.
	os.Remove(lockPath(s.Dir))
	return err
}

func lockPath(dir string) string { return dir + ".lock" }

func sweep(parent string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), lockPath(""))
		if !strings.HasPrefix(name, "run-") || e.IsDir() == isLock {
			continue
		}
		dir := filepath.Join(parent, name)
		if lock, err := TryLock(lockPath(dir), ""); err == nil {
			dead := Scratch{dir, lock}
			_ = dead.Remove()
		}
	}
}
