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
	"syscall"

	"github.com/multimage/multimage/buildlib/internal/disk"
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
	end     context.CancelFunc
}

// open locks the output folder and opens the cache. The context it returns is
// the work's, and ends with close.
func (b *Builder) open(ctx context.Context) (_ *workspace, _ context.Context, err error) {
	w := &workspace{Builder: b}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	w.end = func() { stop(); cancel(nil) }
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

func (w *workspace) goTool() gotool.Go { return gotool.Go{Dir: w.plan.Dir} }
