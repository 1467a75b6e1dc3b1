package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/registry"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// workspace is what a running stage has: the locked output folder, the cache, and
// the client of registries. Files private to multimage lie in OUTPUT/.multimage:
//
//	lock          held by the run that writes to OUTPUT
//	kept/         what go build made, by platform and way of building
//	layouts/      which blobs the layouts have
//	cache/        the cache, if its own folder can't be written to
//	tmp/          files on their way to OUTPUT
type workspace struct {
	*Builder
	lock    *disk.Lock
	scratch *disk.Scratch
	store   *store.Store
	client  *registry.Client
	ctx     context.Context // the stage's, for what runs in later
	later   sync.WaitGroup  // goroutines beside the stage, which close waits for
	end     context.CancelFunc
}

// open locks the output folder and opens the cache. The context that it returns is
// the stage's, and ends with close.
func (b *Builder) open(ctx context.Context) (_ *workspace, _ context.Context, err error) {
	w := &workspace{Builder: b}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	w.ctx, w.end = ctx, func() { stop(); cancel(nil) }
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if b.ctx.Err() != nil {
		return w, ctx, context.Cause(b.ctx)
	}
	if err := w.makeOutput(ctx); err != nil {
		return w, ctx, fmt.Errorf("output folder: %w", err)
	}
	w.lock, err = disk.WaitLock(ctx, w.private("lock"), holder(), func(other string) {
		b.tell(StepWait, fmt.Sprintf("%s is at work in %s", cmp.Or(other, "another run"), b.plan.Output))
	})
	if err != nil {
		return w, ctx, err
	}
	if w.scratch, err = disk.NewScratch(ctx, w.private("tmp")); err != nil {
		return w, ctx, fmt.Errorf("output folder: %w", err)
	}
	w.sweep()
	if w.store, err = w.openStore(ctx); err != nil {
		return w, ctx, err
	}
	w.client = registry.NewClient(ctx, registry.Options{
		Insecure: b.plan.Insecure, Jobs: b.options.Jobs, Log: b.log,
		Keychain: b.options.Keychain, Transport: b.options.Transport,
		Wait: func(text string) { b.tell(StepWait, text) },
		Warn: func(text string) { b.tell(StepWarn, text) },
	})
	return w, ctx, nil
}

// holder names this run for those who wait for it.
func holder() string {
	return fmt.Sprintf("process %d (%s)", os.Getpid(), strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "))
}

// openStore opens the cache. If this run can't write to it (another user's folder, a
// read-only or full disk), it uses one in OUTPUT instead.
func (w *workspace) openStore(ctx context.Context) (*store.Store, error) {
	warn := func(text string) { w.tell(StepWarn, text) }
	s, err := store.Open(ctx, w.options.Cache, warn)
	for _, e := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT} {
		if !errors.Is(err, e) {
			continue
		}
		spare, failed := disk.MakeFolder(w.plan.Output, filepath.Join(".multimage", "cache"))
		if failed != nil {
			return nil, err
		}
		warn(fmt.Sprintf("%v: using %s instead, which no other output folder shares: set Overrides.Cache to a folder that can be written to", err, spare))
		return store.Open(ctx, spare, warn)
	}
	return s, err
}

func (w *workspace) close() error {
	var errs []error
	if w.client != nil {
		w.client.Close()
	}
	if w.store != nil {
		w.logLeftovers(w.store.Close())
	}
	if w.scratch != nil {
		w.logLeftovers(w.scratch.Remove())
	}
	if w.lock != nil {
		errs = append(errs, w.lock.Unlock())
	}
	w.end()
	return errors.Join(errs...)
}

// logLeftovers logs that temporary files couldn't be removed. That is no failure: the
// next run sweeps them.
func (w *workspace) logLeftovers(err error) {
	if err != nil {
		w.log("temporary files stay: %v", err)
	}
}

func (w *workspace) goTool(c Compile) gotool.Go { return gotool.Go{Dir: w.plan.ModuleDir(c)} }

// ignore keeps what multimage writes to OUTPUT out of git, this file included: it
// neither makes the next version "dirty" nor gets committed. It names nothing else,
// as OUTPUT may have files of the project's own.
const ignore = `# What multimage writes here is built, and no source.
/.gitignore
/.multimage/
/archive/
/bench/
/bin/*/*/
/digests/
/evidence/
/images.json
/oci/
`

// makeOutput makes the output folder, which may be a link of the user's, and the
// .gitignore in it.
func (w *workspace) makeOutput(ctx context.Context) error {
	out := w.plan.Output
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range outputs {
		if err := disk.CheckFolder(filepath.Join(out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err := os.Lstat(w.private(""))
	fresh := errors.Is(err, fs.ErrNotExist)
	for _, name := range []string{"kept", "layouts"} {
		if _, err := disk.MakeFolder(out, filepath.Join(".multimage", name)); err != nil {
			return err
		}
	}
	path := filepath.Join(out, ".gitignore")
	has, err := readLimited(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		has, err = []byte(ignore), nil
		fresh = true
	}
	if ours := strings.HasPrefix(string(has), ignore); err == nil && ours {
		lines := string(has)
		for _, f := range w.plan.Render {
			rel, err := filepath.Rel(out, f.Output)
			if line := "/" + filepath.ToSlash(rel) + "\n"; err == nil && !strings.Contains(lines, "\n"+line) {
				lines += line
			}
		}
		if fresh || lines != string(has) {
			return w.writeOnce(path, lines)
		}
		return nil
	}
	if !fresh {
		return nil
	}
	// The project has its own: it stays as it is.
	if seen := git.Unignored(ctx, out, []string{"bin/os/arch/name", "images.json", "oci/name"}); len(seen) > 0 {
		w.tell(StepWarn, fmt.Sprintf("git doesn't ignore what is written to %s: add these lines to %s: %s",
			out, path, strings.Join(strings.Fields(ignore)[10:], " ")))
	}
	return w.writeOnce(w.private(".gitignore"), "*\n")
}

// writeOnce writes a file before the output folder is locked.
func (w *workspace) writeOnce(path, content string) error {
	err := disk.WriteBytes(path, w.private(""), 0o644, []byte(content))
	if _, there := os.Lstat(path); there == nil {
		return nil // another run was faster, and has swept ours
	}
	return err
}

// sweep removes the temporary files that killed runs left outside of tmp: those of
// makeOutput, and those of layouts, perhaps of images that this run doesn't make.
// A layout's tmp itself stays: it shows that the layout is unfinished. A file that
// can't be removed, say another user's, does no harm.
func (w *workspace) sweep() {
	for _, pattern := range []string{"write-*", "layouts/*/tmp/*"} {
		left, _ := fs.Glob(os.DirFS(w.private("")), pattern)
		for _, name := range left {
			if err := w.remove(name); err != nil {
				w.log("%v", err)
			}
		}
	}
}

// remove removes a file or folder below the private folder, unless the way there
// leads through a link.
func (w *workspace) remove(name string) error {
	dir := w.private("")
	for parent := range strings.SplitSeq(filepath.Dir(filepath.FromSlash(name)), string(filepath.Separator)) {
		dir = filepath.Join(dir, parent)
		if err := disk.CheckFolder(dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(w.private(filepath.FromSlash(name)))
}

func (w *workspace) private(name string) string { return w.plan.private(name) }

// folder makes a folder below OUTPUT. It follows no link there.
func (w *workspace) folder(path string) error {
	name, err := filepath.Rel(w.plan.Output, path)
	if err == nil {
		_, err = disk.MakeFolder(w.plan.Output, name)
	}
	return err
}
