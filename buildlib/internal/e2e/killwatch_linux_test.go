package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watcher sees what appears, moves and goes below folders (inotify(7)), those
// made meanwhile included, and tells it as it happens.
type watcher struct {
	file  *os.File
	tell  func(path string)
	paths map[int]string // by watch descriptor
	done  chan struct{}
}

// watch tells of each change below the folders until close is called.
func watch(t *testing.T, tell func(path string), dirs ...string) *watcher {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), tell: tell, paths: map[int]string{}, done: make(chan struct{})}
	for _, dir := range dirs {
		w.add(dir)
	}
	go w.run()
	return w
}

func (w *watcher) close() {
	w.file.Close()
	<-w.done
}

// add watches a folder and those in it. Folders come and go.
func (w *watcher) add(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if strings.HasPrefix(d.Name(), "go-build") {
			return fs.SkipDir // the go command's business
		}
		control, err := w.file.SyscallConn()
		if err != nil {
			return err
		}
		return control.Control(func(fd uintptr) {
			if wd, err := unix.InotifyAddWatch(int(fd), path, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_ONLYDIR); err == nil {
				w.paths[wd] = path
			}
		})
	})
}

func (w *watcher) run() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
			name := buf[at+unix.SizeofInotifyEvent:][:e.Len]
			at += unix.SizeofInotifyEvent + int(e.Len)
			path := filepath.Join(w.paths[int(e.Wd)], unix.ByteSliceToString(name))
			if e.Mask&unix.IN_ISDIR != 0 && e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
				w.add(path)
			}
			w.tell(path)
		}
	}
}
