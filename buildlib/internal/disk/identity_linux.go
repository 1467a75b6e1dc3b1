package disk

import (
	"io/fs"
	"syscall"
)

func identify(info fs.FileInfo, id *Identity) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Device, id.Inode = uint64(s.Dev), s.Ino
		id.Changed = s.Ctim.Nano()
	}
}
