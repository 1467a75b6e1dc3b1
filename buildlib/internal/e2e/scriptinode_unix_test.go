//go:build unix

package e2e

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode names the file that info is of.
func inode(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint("inode ", s.Ino)
	}
	return ""
}
