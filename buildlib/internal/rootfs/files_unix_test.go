//go:build unix

package rootfs

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a named pipe would wait for its other end.
func TestFilesRefusesSpecialFiles(t *testing.T) {
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "oci")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	pipe, sock := filepath.Join(dir, "pipe"), filepath.Join(dir, "sock")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	a := newBuilder(t)
	buildError(t, a, Spec{Files: []File{{Source: pipe, Path: "/x", Root: dir}}}, "file /x: source "+pipe+": is a named pipe")
	buildError(t, a, Spec{Files: []File{{Source: dir, Path: "/x", Root: dir}}}, "pipe is a named pipe")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	buildError(t, a, Spec{Files: []File{{Source: dir, Path: "/x", Root: dir}}}, "sock is a socket")
}
