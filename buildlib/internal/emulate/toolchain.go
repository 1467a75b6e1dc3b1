package emulate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Toolchain returns the toolchain of a platform, to be run by e, which Find returned. If
// the cache lacks it, or it is damaged, it is downloaded, or cross-built from the
// installed Go. Then it is tried. The error is a *Crash if e can't run it, and
// ErrChecksum if the download was tampered with.
//
// The toolchain has symbolic links to the library of the installed one, and works only
// as long as that exists.
func (o Options) Toolchain(ctx context.Context, platform v1.Platform, e Emulator) (Toolchain, error) {
	if platform.OS == runtime.GOOS && platform.Architecture == runtime.GOARCH {
		return Toolchain{o.Root, "installed"}, nil
	}
	if err := possible(platform, runtime.GOOS); err != nil {
		return Toolchain{}, err
	}
	// Root ends up in links, and commands are run elsewhere.
	for _, dir := range []*string{&o.Root, &o.Cache} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return Toolchain{}, err
		}
		*dir = abs
	}
	m := maker{Options: o, platform: platform}
	t, err := m.open(ctx)
	if err == nil {
		err = m.try(ctx, t, e)
	}
	if err != nil && ctx.Err() != nil {
		return Toolchain{}, context.Cause(ctx)
	}
	if _, crashed := errors.AsType[*Crash](err); err != nil && !crashed {
		err = fmt.Errorf("toolchain of %s in %s: %w", platform, o.Cache, err)
	}
	return t, err
}

// open returns the toolchain that the cache has, or makes it.
func (m *maker) open(ctx context.Context) (t Toolchain, err error) {
	if err := m.ask(ctx); err != nil {
		return t, err
	}
	if m.scratch, err = disk.NewScratch(ctx, filepath.Join(m.Cache, "tmp")); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, m.scratch.Remove()) }()
	key, err := m.key(ctx)
	if err != nil {
		return t, err
	}
	folder := filepath.Join(m.Cache, key)
	lock, err := disk.WaitLock(ctx, folder+".lock", fmt.Sprint("process ", os.Getpid()), func(holder string) {
		m.log("waiting for %s, which has the toolchain's folder", holder)
	})
	if err != nil {
		return t, err
	}
	defer lock.Unlock()
	t.Root = filepath.Join(folder, "goroot")
	if r, err := readRecord(ctx, folder); err == nil {
		t.Origin = r.Origin
		touch(folder)
		return t, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		m.log("the kept Go toolchain is damaged and made again: %v", err)
	}
	start := time.Now()
	if t.Origin, err = m.make(ctx, folder); err != nil {
		return t, err
	}
	m.log("made the Go toolchain (%s) in %s", t.Origin, time.Since(start).Round(100*time.Millisecond))
	m.trim(key, time.Now())
	return t, nil
}

// make makes the toolchain in the scratch folder, and then replaces folder with it.
func (m *maker) make(ctx context.Context, folder string) (origin string, err error) {
	made := filepath.Join(m.scratch.Dir, "made")
	root := filepath.Join(made, "goroot")
	if err := os.MkdirAll(m.tools(root), 0o755); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return "", err
	}
	if origin, err = m.download(ctx, root); err != nil {
		return "", err
	}
	if origin == "" {
		if origin, err = m.crossBuild(ctx, root); err != nil {
			return "", err
		}
	}
	if err := m.link(root); err != nil {
		return "", err
	}
	if err := m.writeRecord(ctx, made, origin); err != nil {
		return "", err
	}
	if err := os.Rename(folder, filepath.Join(m.scratch.Dir, "damaged")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return origin, os.Rename(made, folder)
}

// link links to the files of the installed GOROOT that are the same for every platform.
func (m *maker) link(root string) error {
	for _, name := range []string{"src", "lib", "pkg/include", "VERSION", "go.env"} {
		name = filepath.FromSlash(name)
		installed := filepath.Join(m.Root, name)
		if _, err := os.Stat(installed); errors.Is(err, os.ErrNotExist) {
			continue // a version in development has no VERSION, for example
		}
		if err := os.Symlink(installed, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// keep is how long an unused toolchain is kept.
const keep = 30 * 24 * time.Hour

// touch notes that the toolchain in folder is used. Nothing but trim needs it.
func touch(folder string) {
	now := time.Now()
	_ = os.Chtimes(folder, now, now)
}

// trim moves toolchains that were not used for long to the scratch folder, which is
// removed soon. Those that can't be moved stay.
func (m *maker) trim(except string, now time.Time) {
	entries, err := os.ReadDir(m.Cache)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || entry.Name() == "tmp" || entry.Name() == except || now.Sub(info.ModTime()) < keep {
			continue
		}
		folder := filepath.Join(m.Cache, entry.Name())
		lock, err := disk.TryLock(folder+".lock", "")
		if err != nil {
			continue
		}
		if os.Rename(folder, filepath.Join(m.scratch.Dir, entry.Name())) == nil {
			m.log("removed the toolchain %s, which was last used on %s", entry.Name(), info.ModTime().Format(time.DateOnly))
		}
		_ = lock.Unlock()
	}
}
