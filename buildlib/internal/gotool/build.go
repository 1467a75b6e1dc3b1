package gotool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/process"
)

// Build is one go build of mains with the same platform and arguments, into a kept
// folder, so that go relinks only what changed.
type Build struct {
	Env    []string // over the process's environment
	Args   []string // arguments of go build, without -o and the packages
	Mains  []Main
	Folder string // the kept folder, private to this Build's Env, Args and names
	Temp   string // GOTMPDIR, on Folder's file system so that outputs arrive by rename
	// Progress is called with the number of packages that go has begun to compile
	// and of all that it will, once that is known. It may be nil.
	Progress func(done, all int)
}

func (b Build) packages() []string {
	var all []string
	for _, m := range b.Mains {
		all = append(all, m.Package)
	}
	return all
}

// Main is one main package of a Build.
type Main struct {
	Package string // import path or ./path
	File    string // the name that go gives its executable
}

// Executable is a built binary in the kept folder.
type Executable struct {
	Path   string
	Digest v1.Hash // sha256 of the content
	Size   int64   // bytes
	// Identity is the file's when its content was hashed. Zero: that was in an
	// earlier run, and since then bits may have flipped on the disk.
	Identity disk.Identity
	// Loader is its dynamic loader, a path in the image. Empty: it is static.
	Loader string
	// Libraries are the names of the shared libraries that it needs; none if it says
	// itself where they are.
	Libraries []string
	// Kept is set if the executable is the same as in the last run.
	Kept bool
}

// record is what is known about a kept folder's files since the last build, by
// file name. It is kept beside the folder.
type record map[string]disk.Known

// Build runs go build and returns the executables in the order of b.Mains. The
// go command judges a kept file by its build ID alone, and would ship a
// truncated or edited one: a kept file that is not as the last build left it
// is deleted before go runs.
func (g Go) Build(ctx context.Context, b Build) ([]Executable, error) {
	if err := b.makeFolder(); err != nil {
		return nil, err
	}
	before, err := b.check(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.build(ctx, b); err != nil {
		return nil, err
	}
	after, executables, err := b.look(ctx, before)
	if err != nil {
		return nil, err
	}
	return executables, b.write(after)
}

// makeFolder makes the kept folder, without the set-group-ID bit that it inherits:
// with it, go doesn't rename an output into place, but deletes the old one and
// copies, so that the new file may have the old one's inode.
func (b Build) makeFolder() error {
	if err := os.MkdirAll(b.Folder, 0o755); err != nil {
		return err
	}
	info, err := os.Stat(b.Folder)
	if err != nil || info.Mode()&fs.ModeSetgid == 0 {
		return err
	}
	return os.Chmod(b.Folder, info.Mode()&^fs.ModeSetgid)
}

// Adopt copies the file at path into the kept folder as the executable of that name,
// unless there is one. go keeps it if it would link the same. A content without that
// digest is an error.
func (b Build) Adopt(ctx context.Context, name, path string, digest v1.Hash) error {
	to := filepath.Join(b.Folder, name)
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	if err := b.makeFolder(); err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := disk.Write(to, b.Temp, 0o755, func(w io.Writer) error {
		got, _, err := v1.SHA256(io.TeeReader(disk.Reader(ctx, in), w))
		if err == nil && got != digest {
			err = disk.ErrContent
		}
		return err
	}); err != nil {
		return err
	}
	id, err := disk.Identify(to)
	if err != nil {
		return err
	}
	r := b.read()
	r[name] = disk.Known{Identity: id, Digest: digest}
	return b.write(r)
}

// Linked must be called after links to the executables were made, which changes
// their identity.
func (b Build) Linked() error {
	r := b.read()
	for name, k := range r {
		now, err := disk.Identify(filepath.Join(b.Folder, name))
		if err == nil && now.SameFile(k.Identity) && now.Modified == k.Identity.Modified {
			r[name] = disk.Known{Identity: now, Digest: k.Digest}
		}
	}
	return b.write(r)
}

// read returns the record; a missing or damaged one vouches for nothing.
func (b Build) read() record {
	r := record{}
	if disk.ReadRecord(b.Folder+".json", &r) != nil {
		return record{}
	}
	return r
}

func (b Build) write(r record) error {
	return disk.WriteRecord(b.Folder+".json", b.Temp, r)
}

// check deletes the kept files that the record doesn't vouch for and returns
// what it does vouch for.
func (b Build) check(ctx context.Context) (record, error) {
	old, good := b.read(), record{}
	entries, err := os.ReadDir(b.Folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(b.Folder, e.Name())
		was, ok := old[e.Name()]
		if ok {
			if now, err := was.Verify(ctx, path); err == nil {
				good[e.Name()] = disk.Known{Identity: now, Digest: was.Digest}
				continue
			}
			if ctx.Err() != nil { // nothing is wrong with the file
				return nil, context.Cause(ctx)
			}
		}
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	return good, nil
}

func (g Go) build(ctx context.Context, b Build) error {
	args := append([]string{"build"}, b.Args...)
	if b.Progress != nil {
		args = append(args, "-v")
	}
	args = append(args, "-o", b.Folder+string(filepath.Separator), "--")
	var messages bytes.Buffer
	cmd := g.command(ctx, append(b.Env, "GOTMPDIR="+b.Temp), append(args, b.packages()...)...)
	cmd.Stdout, cmd.Stderr = &messages, &messages
	if b.Progress != nil {
		c := &counting{progress: b.Progress, messages: &messages, begun: map[string]bool{}}
		cmd.Stdout, cmd.Stderr = c, c
		asking, stop := context.WithCancel(ctx)
		var asked sync.WaitGroup
		asked.Go(func() { c.ask(asking, g, b) })
		defer asked.Wait()
		defer stop()
	}
	release := process.Guard(cmd)
	defer release()
	return installed(process.Run(ctx, cmd, &messages))
}

// look identifies the outputs. If one is still the same file, except for its times
// (go touches an up-to-date output), its content is known; others are hashed.
func (b Build) look(ctx context.Context, before record) (record, []Executable, error) {
	executables := make([]Executable, len(b.Mains))
	records := make([]disk.Known, len(b.Mains))
	var work errgroup.Group
	work.SetLimit(2)
	for i, m := range b.Mains {
		work.Go(func() error {
			path := filepath.Join(b.Folder, m.File)
			id, err := disk.Identify(path)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("go build %s: exit status 0, but no executable %s: is a flag set that makes it print only?", m.Package, m.File)
			}
			if err != nil {
				return err
			}
			loader, err := inspect(path, b.Env)
			if err != nil {
				return fmt.Errorf("%s: what go build made can't run: %w", m.Package, err)
			}
			was, ok := before[m.File]
			same := ok && id.SameFile(was.Identity)
			digest := was.Digest
			if !same {
				if digest, err = disk.SHA256(ctx, path); err != nil {
					return err
				}
			}
			records[i] = disk.Known{Identity: id, Digest: digest}
			executables[i] = Executable{Path: path, Digest: digest, Size: id.Size, Loader: loader, Libraries: libraries(path, loader), Kept: ok && digest == was.Digest}
			if !same {
				executables[i].Identity = id
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, nil, err
	}
	after := maps.Clone(before) // of mains that are not built this time, too
	for i, m := range b.Mains {
		after[m.File] = records[i]
	}
	return after, executables, nil
}

// ExecutableName returns the name that go build gives the executable of the
// package at importPath in a folder -o names: the last element of the path, or
// the one before a major version suffix (go help build).
func ExecutableName(importPath string) string {
	name := path.Base(importPath)
	if dir := path.Dir(importPath); dir != "." && major.MatchString(name) {
		return path.Base(dir)
	}
	return name
}

// major is a major version suffix, v2 and up.
var major = regexp.MustCompile(`^v([2-9]|[1-9][0-9]+)$`)
