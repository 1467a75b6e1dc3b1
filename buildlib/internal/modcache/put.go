package modcache

import (
	"archive/tar"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// maxMod is the go command's limit for a go.mod, in bytes.
const maxMod = 16 << 20

// Put puts what Write wrote where go looks for it, unless something is there. If the
// content doesn't have the hash s, that is an error, and go finds nothing.
func (f Folder) Put(s Sum, content io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(f.beside(s, modFile)), 0o777); err != nil {
		return err
	}
	if s.Of != Tree {
		path, read := f.small(s)
		data, err := io.ReadAll(io.LimitReader(content, maxMod))
		if err == nil {
			data, err = read(data)
		}
		if err != nil {
			return err
		}
		return disk.WriteBytes(path, filepath.Dir(path), 0o644, data)
	}
	dir := f.dir(s)
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	lock, err := disk.TryLock(f.beside(s, lockFile), "multimage")
	if errors.Is(err, disk.ErrLocked) {
		return nil // go unpacks it just now
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if exists(dir) {
		return nil // by now, or a part that go will put right
	}
	// go removes folders of this name, which killed runs leave, before it unpacks.
	temp := dir + ".tmp-" + rand.Text()
	defer os.RemoveAll(temp)
	files, folders, err := unpack(temp, s.name(), content)
	if err == nil {
		err = s.check(files)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.beside(s, hashFile), []byte(s.Hash), 0o666); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	if !f.Writable {
		for folder := range folders {
			readOnly(filepath.Join(dir, folder))
		}
	}
	return nil
}

// unpack writes a module's files to dir. It returns them with their hashes, and the
// folders that it made, relative to dir.
func unpack(dir, module string, content io.Reader) (files tree, folders map[string]bool, err error) {
	folders = map[string]bool{}
	if err := makeFolders(dir, ".", folders); err != nil {
		return nil, nil, err
	}
	buffer := make([]byte, 64<<10)
	for t := tar.NewReader(content); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, folders, nil
		}
		if err != nil {
			return nil, nil, err
		}
		local := filepath.FromSlash(h.Name)
		// The hash is of a text with one line for each name.
		if h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || !filepath.IsLocal(local) || strings.ContainsAny(h.Name, "\n\\:") {
			return nil, nil, fmt.Errorf("%.100q is not a file of a module", h.Name)
		}
		if err := makeFolders(dir, filepath.Dir(local), folders); err != nil {
			return nil, nil, err
		}
		sum, err := writeFile(filepath.Join(dir, local), t, buffer)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, file{module + "/" + h.Name, sum})
	}
}

// makeFolders makes the folder name in dir and its parents, unless they are made.
func makeFolders(dir, name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	if name != "." {
		if err := makeFolders(dir, filepath.Dir(name), made); err != nil {
			return err
		}
	}
	made[name] = true
	return os.Mkdir(filepath.Join(dir, name), 0o777)
}

// writeFile makes a new file, and returns its hash.
func writeFile(path string, content io.Reader, buffer []byte) (sum [sha256.Size]byte, err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return sum, err
	}
	all := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(out, all), content, buffer)
	all.Sum(sum[:0])
	return sum, errors.Join(err, out.Close())
}

// readOnly makes a folder read-only, as go does, if it can.
func readOnly(dir string) {
	if info, err := os.Stat(dir); err == nil {
		os.Chmod(dir, info.Mode()&^0o222)
	}
}
