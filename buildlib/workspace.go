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

// workspace is what a running stage holds: the output folder, locked, the
// cache, and the client that registries see. What is private to multimage lies in OUTPUT/.multimage:
//
//	lock          held by the run that writes to OUTPUT
//	kept/         what go build made, by platform and way of building
//	layouts/      what is known of the layouts' blobs
//	cache/        the cache, if its own folder can't be written to
//	tmp/          files on their way to OUTPUT
type workspace struct {
	*Builder
	lock    *disk.Lock
	scratch *disk.Scratch
	store   *store.Store
	client  *registry.Client
	ctx     context.Context // the work's
	later   sync.WaitGroup  // what goes on beside the stage, and ends before close
	end     context.CancelFunc
}

// open locks the output folder and opens the cache. The context it returns is
// the work's, and ends with close.
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

// openStore opens the cache. One that this run can't write to, say another
// user's, one of a read-only or of a full disk, is no reason to build nothing:
// then the cache is in OUTPUT.
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
		w.leave(w.store.Close())
	}
	if w.scratch != nil {
		w.leave(w.scratch.Remove())
	}
	if w.lock != nil {
		errs = append(errs, w.lock.Unlock())
	}
	w.end()
	return errors.Join(errs...)
}

// leave tells of temporary files that couldn't be removed: the next run sweeps
// them, and what this one was for is done.
func (w *workspace) leave(err error) {
	if err != nil {
		w.log("temporary files stay: %v", err)
	}
}

func (w *workspace) goTool(c Compile) gotool.Go { return gotool.Go{Dir: w.plan.ModuleDir(c)} }

// ignore keeps what is written to OUTPUT, itself included, out of git, so that
// it neither makes the next version "dirty" nor gets committed. It names that
// and nothing else: OUTPUT may have files of the project's own.
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

// makeOutput makes the output folder, which may be a link of the user's, and in
// it what keeps the rest out of git.
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

// sweep removes the temporary files that killed runs left beside tmp: those of
// makeOutput, and of layouts, perhaps of images that this run doesn't make. The
// folder of the latter stays, for it tells that the layout was not finished.
// What can't be removed, as another user's, is in nobody's way.
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

// remove removes what has that name in the private folder, unless a link leads
// there.
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

// folder makes a folder in OUTPUT, following no link there.
func (w *workspace) folder(path string) error {
	name, err := filepath.Rel(w.plan.Output, path)
	if err == nil {
		_, err = disk.MakeFolder(w.plan.Output, name)
	}
	return err
}
