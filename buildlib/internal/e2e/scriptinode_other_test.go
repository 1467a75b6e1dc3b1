//go:build !unix

package e2e

import "io/fs"

// inode names the file that info is of, where a file has such a name.
func inode(fs.FileInfo) string { return "" }
