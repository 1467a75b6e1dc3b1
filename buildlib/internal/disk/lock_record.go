//go:build solaris || aix

package disk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes a record lock of fcntl(2) on the whole file: these systems have no
// flock(2). The lock is the process's, which is why there is held.
func lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}
