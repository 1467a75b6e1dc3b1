package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// File is something to copy into an image.
type File struct {
	// Source is a file or folder on this machine, or a pattern for several, as in
	// Ignore.Glob; a folder is copied with all below it. Empty: Path is a
	// directory to make.
	Source string
	// Path is where it goes in the image, absolute and clean. If it ends with a
	// slash, it is the folder that the file, or all that the pattern matches, is
	// copied into.
	Path string
	// Mode is the mode of the file, of all files of a folder, or of the directory
	// to make. Directories of a folder are 0755. Zero: 0755 for directories and
	// for files that anyone may execute, else 0644.
	Mode fs.FileMode
	// UID and GID own all that is made for this File, except the
	// directories above Path.
	UID, GID int
	// Xattrs are extended attributes of each file that is copied (xattr(7)).
	Xattrs map[string]string
	// Root is the folder that holds Source, and that no link may leave.
	Root string
	// Ignore is what isn't copied.
	Ignore Ignore
	// Executables are the files that anyone may execute, by path relative to
	// Root, if the file system doesn't know. Nil: it does.
	Executables map[string]bool
}

// maxFiles is how many paths a File may have: with more it is the wrong folder.
const maxFiles = 200_000

// addFiles adds the project's files to the current layer.
func (b *Builder) addFiles(ctx context.Context, to *fileSystem, files []File) error {
	for _, f := range files {
		if err := b.addFile(ctx, to, f); err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	return nil
}

func (b *Builder) addFile(ctx context.Context, to *fileSystem, f File) error {
	mode, err := tarMode(f.Mode)
	if err != nil {
		return err
	}
	if f.UID < 0 || f.GID < 0 {
		return fmt.Errorf("owner %d:%d is negative", f.UID, f.GID)
	}
	into := strings.HasSuffix(f.Path, "/")
	if into {
		f.Path = path.Clean(f.Path)
	}
	if f.Source == "" {
		return to.setdir(directory(f.Path, mode, f.UID, f.GID))
	}
	rel, err := filepath.Rel(f.Root, f.Source)
	if f.Root == "" || err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("source %s: is not in the project's folder %s; copy it there", f.Source, f.Root)
	}
	if err := f.Ignore.Check(f.Root, rel); err != nil {
		return fmt.Errorf("source %s: %w", f.Source, err)
	}
	// An os.Root opens nothing outside its folder, whatever links say.
	root, err := os.OpenRoot(f.Root)
	if err != nil {
		return fmt.Errorf("source %s: %w", f.Source, err)
	}
	defer root.Close()
	s := &sources{b: b, to: to, file: f, into: into, mode: mode, root: root, tree: root.FS()}
	if s.filter, err = newFilter(f.Ignore); err != nil {
		return fmt.Errorf(".dockerignore: %w", err)
	}
	if err := s.all(ctx, rel); err != nil {
		return fmt.Errorf("source %s: %w", f.Source, err)
	}
	return nil
}

// sources walks the source of one File.
type sources struct {
	b      *Builder
	to     *fileSystem
	file   File
	into   bool // file.Path is the folder to copy a file into
	mode   int64
	root   *os.Root
	tree   fs.FS
	filter *filter
	count  int
	// pending are the excluded folders that the walk is in: they are made if
	// something in them isn't excluded.
	pending []string
	copied  bool // whether anything was copied
}

// all copies what the source names, which may be a pattern.
func (s *sources) all(ctx context.Context, rel string) error {
	list, pattern, err := s.file.Ignore.Glob(s.root, rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("matches no file or folder")
	case err != nil:
		return err
	case len(list) > 1 && !s.into:
		return ManyInOne(list, s.file.Path)
	}
	for _, rel := range list {
		if err := s.start(ctx, rel); err != nil {
			if pattern {
				err = fmt.Errorf("%s: %w", rel, err)
			}
			return err
		}
	}
	if !s.copied && s.filter.last != "" {
		return s.file.Ignore.nothing(s.filter.last)
	}
	return nil
}

// start copies one source, which may be a link within the project.
func (s *sources) start(ctx context.Context, rel string) error {
	info, err := s.root.Stat(filepath.FromSlash(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file or folder")
	case err != nil:
		if l, lerr := s.root.Lstat(filepath.FromSlash(rel)); lerr == nil && l.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("is a link that is absolute or leaves the project; name its target: %w", err)
		}
		return err
	}
	v, err := s.filter.pattern(rel, verdict{})
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return s.folder(ctx, rel, s.file.Path, v)
	case v.excluded:
		return fmt.Errorf(".dockerignore excludes it with %q: add !%s there", s.file.Ignore.pattern(rel), rel)
	case info.Mode().IsRegular():
		dst := s.file.Path
		if s.into {
			dst = path.Join(dst, path.Base(rel))
		}
		s.copied = true
		return s.regular(ctx, rel, dst, info)
	}
	return fmt.Errorf("is %s, and only files, folders and links can be copied", kind(info.Mode()))
}

// folder copies the folder rel to dst.
func (s *sources) folder(ctx context.Context, rel, dst string, v verdict) error {
	if v.excluded {
		if !s.filter.match.Exclusions() {
			return nil
		}
		before := len(s.pending)
		s.pending = append(s.pending, dst)
		defer func() { s.pending = s.pending[:min(before, len(s.pending))] }()
	} else if err := s.mkdirs(dst); err != nil {
		return err
	}
	entries, err := fs.ReadDir(s.tree, rel) // sorted
	if err != nil {
		return err
	}
	for _, e := range entries {
		if s.count++; s.count > maxFiles {
			return fmt.Errorf("more than %d files; is it the right folder?", maxFiles)
		}
		if err := s.add(ctx, path.Join(rel, e.Name()), path.Join(dst, e.Name()), e, v); err != nil {
			return err
		}
	}
	return nil
}

// mkdirs makes the folders that were pending, and dst.
func (s *sources) mkdirs(dst ...string) error {
	for _, d := range append(s.pending, dst...) {
		if err := s.to.mkdir(directory(d, 0o755, s.file.UID, s.file.GID)); err != nil {
			return err
		}
	}
	s.pending = nil
	return nil
}

func (s *sources) add(ctx context.Context, rel, dst string, e fs.DirEntry, parent verdict) error {
	if skip, err := s.filter.skips(s.tree, rel, e); skip || err != nil {
		return err
	}
	v, err := s.filter.pattern(rel, parent)
	if err != nil {
		return err
	}
	if e.IsDir() {
		return s.folder(ctx, rel, dst, v)
	}
	if v.excluded {
		return nil
	}
	if err := s.mkdirs(); err != nil {
		return err
	}
	s.copied = true
	switch e.Type() {
	case fs.ModeSymlink:
		return s.link(rel, dst)
	case 0:
		info, err := e.Info()
		if err != nil {
			return err
		}
		return s.regular(ctx, rel, dst, info)
	}
	return fmt.Errorf("%s is %s, and only files, folders and links can be copied", rel, kind(e.Type()))
}

// link copies a symbolic link. Its target need not exist, but an absolute one, or one
// outside the project, would be something else in the image.
func (s *sources) link(rel, dst string) error {
	target, err := s.root.Readlink(filepath.FromSlash(rel))
	if err != nil {
		return err
	}
	if filepath.IsAbs(target) || strings.HasPrefix(target, "/") {
		return fmt.Errorf("link %s: its target %s is absolute; make it relative", rel, target)
	}
	target = filepath.ToSlash(target)
	if !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(rel), target))) {
		return fmt.Errorf("link %s: its target %s leaves the project; copy the file instead", rel, target)
	}
	return s.to.put(change{
		Path: dst, Type: tar.TypeSymlink, Mode: 0o777, Link: target, UID: s.file.UID, GID: s.file.GID,
	}, "a link of "+s.file.Source)
}

func (s *sources) regular(ctx context.Context, rel, dst string, info fs.FileInfo) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	open := func() (io.ReadCloser, error) { return os.OpenInRoot(s.file.Root, filepath.FromSlash(rel)) }
	host := filepath.Join(s.file.Root, filepath.FromSlash(rel))
	known, err := s.b.digest(ctx, host, open)
	if err != nil {
		return err
	}
	mode := s.mode
	if mode == 0 {
		mode = 0o644
		executable := info.Mode().Perm()&0o111 != 0
		if s.file.Executables != nil {
			executable = s.file.Executables[rel]
		}
		if executable {
			mode = 0o755
		}
	}
	return s.to.put(change{
		Path: dst, Type: tar.TypeReg, Mode: mode, UID: s.file.UID, GID: s.file.GID,
		Size: known.size, Digest: known.digest, Source: host, Identity: known.id, Open: open, Xattrs: s.file.Xattrs,
	}, "the file "+host)
}

// content describes a file that was read.
type content struct {
	id     disk.Identity
	digest v1.Hash
	size   int64
}

// digest reads the file at host. A file that is copied into several images is read
// once, unless it changes.
func (b *Builder) digest(ctx context.Context, host string, open func() (io.ReadCloser, error)) (content, error) {
	id, err := disk.Identify(host)
	if err == nil {
		if known, ok := b.contents.Load(host); ok && known.(content).id.Same(id) {
			return known.(content), nil
		}
	}
	r, err := open()
	if err != nil {
		return content{}, err
	}
	defer r.Close()
	got := content{id: id}
	if got.digest, got.size, err = v1.SHA256(disk.Reader(ctx, r)); err != nil {
		return content{}, err
	}
	b.contents.Store(host, got)
	return got, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
