package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Scratch is a folder for the temporary files of this process, which locks a file
// beside it. If the lock is free, the process was killed, and the next one sweeps the
// folder.
type Scratch struct {
	Dir  string
	lock *Lock
}

// NewScratch makes a scratch folder below parent, which must not be a link, and sweeps
// those whose process has ended without removing them. Those that can't be swept,
// such as another user's, stay.
func NewScratch(ctx context.Context, parent string) (*Scratch, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := CheckFolder(parent); err != nil {
		return nil, err
	}
	me := fmt.Sprint("process ", os.Getpid())
	// Under a lock, or a folder could be swept before it is locked.
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
	// Another process may have swept the lock already. If it stays, the next
	// one does.
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
