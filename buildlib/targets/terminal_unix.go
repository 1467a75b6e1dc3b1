//go:build unix && !aix

package targets

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize returns the columns and rows of the terminal that f is, or 0.
func terminalSize(f *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// flush hears what a file system says when a file is closed, though it stays
// open: network file systems and quotas refuse what was written only then.
func flush(f *os.File) error {
	again, err := unix.Dup(int(f.Fd()))
	if err != nil {
		return nil
	}
	return unix.Close(again)
}
