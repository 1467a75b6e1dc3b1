package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/publish"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// workspace is what a running stage holds: the output folder, locked, the
// cache, and the client that registries see. What is private to multimage lies in OUTPUT/.multimage:
//
//	lock          held by the run that writes to OUTPUT
//	kept/         what go build made, by platform and manner of building
//	layouts/      what is known of the layouts' blobs
//	tmp/          files on their way to OUTPUT
type workspace struct {
	plan    *Plan
	lock    *disk.Lock
	scratch *disk.Scratch
	store   *store.Store
	client  *publish.Client
	cancel  context.CancelFunc
}

// open locks the output folder and opens the cache. The context it returns is
// the work's, and ends with close.
func (p *Plan) open(ctx context.Context) (_ *workspace, _ context.Context, err error) {
	w := &workspace{plan: p}
	ctx, w.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := w.makeOutput(); err != nil {
		return w, ctx, fmt.Errorf("output folder: %w", err)
	}
	w.lock, err = disk.WaitLock(ctx, w.private("lock"), holder(), func(other string) {
		p.tell(StepWait, fmt.Sprintf("%s is at work in %s", or(other, "another run"), p.Output))
	})
	if err != nil {
		return w, ctx, err
	}
	if w.scratch, err = disk.NewScratch(ctx, w.private("tmp")); err != nil {
		return w, ctx, fmt.Errorf("output folder: %w", err)
	}
	if err := w.sweep(); err != nil {
		return w, ctx, fmt.Errorf("output folder: %w", err)
	}
	if w.store, err = store.Open(ctx, p.Cache, func(text string) { p.tell(StepWarn, text) }); err != nil {
		return w, ctx, err
	}
	w.client = publish.NewClient(ctx, publish.Options{
		Insecure: p.Insecure, Jobs: p.Jobs, Log: p.log,
		Wait: func(text string) { p.tell(StepWait, text) },
		Warn: func(text string) { p.tell(StepWarn, text) },
	})
	return w, ctx, nil
}

// holder names this run for those who wait for it.
func holder() string {
	return fmt.Sprintf("process %d (%s)", os.Getpid(), strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " "))
}

// makeOutput makes the output folder. The first file in it keeps the rest out
// of git, so that what is built doesn't make the next version "dirty".
func (w *workspace) makeOutput() error {
	if err := os.MkdirAll(w.private(""), 0o755); err != nil {
		return err
	}
	ignore := filepath.Join(w.plan.Output, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	err := disk.WriteBytes(ignore, w.private(""), 0o644, []byte("*\n"))
	if _, there := os.Stat(ignore); there == nil {
		return nil // another run was faster, and has swept ours
	}
	return err
}

// sweep removes the temporary files that killed runs left beside tmp: those of
// makeOutput, and of layouts, perhaps of images that this run doesn't make. The
// folder of the latter stays, for it tells that the layout was not finished.
func (w *workspace) sweep() error {
	var errs []error
	for _, pattern := range []string{"write-*", "layouts/*/tmp/*"} {
		left, err := fs.Glob(os.DirFS(w.private("")), pattern)
		errs = append(errs, err)
		for _, name := range left {
			errs = append(errs, os.RemoveAll(w.private(filepath.FromSlash(name))))
		}
	}
	return errors.Join(errs...)
}

func (w *workspace) private(name string) string {
	return filepath.Join(w.plan.Output, ".multimage", name)
}

func (w *workspace) close() error {
	var errs []error
	if w.client != nil {
		w.client.Close()
	}
	if w.store != nil {
		errs = append(errs, w.store.Close())
	}
	if w.scratch != nil {
		errs = append(errs, w.scratch.Remove())
	}
	if w.lock != nil {
		errs = append(errs, w.lock.Unlock())
	}
	w.cancel()
	return errors.Join(errs...)
}

func (w *workspace) goTool() gotool.Go { return gotool.Go{Dir: w.plan.Dir} }
