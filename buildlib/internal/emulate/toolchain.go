package emulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Toolchain is a Go toolchain whose programs are a foreign platform's, of the
// version that builds natively. Use Options.Toolchain.
type Toolchain struct {
	// Root is its GOROOT. A build with it has no other GOROOT in its
	// environment.
	Root string
	// Origin tells where it is from: golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64
	// or "cross-built from go1.26.8"; "installed" for the host's own.
	Origin string
}

// Command returns what to call instead of the go command, and what go build
// needs besides its other flags: without the kernel's help, the interpreter
// has to run the compiler, too.
func (t Toolchain) Command(e Emulator) (argv, flags []string) {
	argv = e.command(filepath.Join(t.Root, "bin", "go"))
	if e.Kind == Direct {
		flags = []string{"-toolexec=" + quote(e.Path)}
	}
	return argv, flags
}

// command returns the arguments that run a program of e's platform.
func (e Emulator) command(argv ...string) []string {
	if e.Kind == Direct {
		return append([]string{e.Path}, argv...)
	}
	return argv
}

// quote makes a path one field of a flag that the go command splits at spaces.
func quote(path string) string {
	switch {
	case !strings.ContainsAny(path, " \t\n\r'\""):
		return path
	case strings.Contains(path, "'"):
		return `"` + path + `"`
	}
	return "'" + path + "'"
}

// Options say which Go builds natively, and where foreign ones are kept.
type Options struct {
	Root    string                           // its GOROOT
	Version string                           // as go env GOVERSION prints it, like go1.26.8
	Cache   string                           // a folder for toolchains, kept between runs
	Log     func(format string, args ...any) // gets what takes time and what was decided; nil: nothing does
}

// ErrChecksum is the error of a downloaded toolchain that is not the one that
// the checksum database knows, or of a database that somebody else signed.
var ErrChecksum = errors.New("tampered with, or the checksum database was")

// Toolchain returns the toolchain of a platform for whose programs Find gave
// e. What the cache doesn't have, or has damaged, is made: downloaded, or
// cross-built from the installed Go. Then it is tried. The error is a *Crash
// if e can't run it, and ErrChecksum if the download was tampered with.
//
// The toolchain has the installed one's library sources, by symbolic links:
// it is of use only as long as that is there.
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
	var failed *Crash
	if err != nil && !errors.As(err, &failed) {
		err = fmt.Errorf("toolchain of %s in %s: %w", platform, o.Cache, err)
	}
	return t, err
}

// maker makes the toolchain of one platform:
//
//	CACHE/KEY/goroot/      the toolchain
//	CACHE/KEY/record.json  what belongs in it
//	CACHE/KEY.lock         held while it is looked at or made
//	CACHE/tmp/             what is being made, a folder per process
type maker struct {
	Options
	platform v1.Platform
	native   native
	scratch  *disk.Scratch
	only     []string // programs to make, for tests; nil for all
}

func (m *maker) log(format string, args ...any) {
	if m.Log != nil {
		m.Log("%s: %s", m.platform, fmt.Sprintf(format, args...))
	}
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

// make makes the toolchain in the scratch folder, and then all of it appear in
// the place of folder.
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

// tools returns the folder of a GOROOT that holds the platform's compiler.
func (m *maker) tools(root string) string {
	return filepath.Join(root, "pkg", "tool", m.platform.OS+"_"+m.platform.Architecture)
}

// programs returns the paths of the programs that a build without C runs.
// gofmt, vet, fix and cgo are none of them.
func (m *maker) programs(root string) map[string]string {
	programs := map[string]string{"go": filepath.Join(root, "bin", "go")}
	for _, name := range []string{"asm", "compile", "cover", "link", "preprofile"} {
		programs[name] = filepath.Join(m.tools(root), name)
	}
	if m.only != nil {
		maps.DeleteFunc(programs, func(name, _ string) bool { return !slices.Contains(m.only, name) })
	}
	return programs
}

// link links what is the same for every platform from the installed GOROOT.
func (m *maker) link(root string) error {
	for _, name := range []string{"src", "lib", "pkg/include", "VERSION", "go.env"} {
		name = filepath.FromSlash(name)
		installed := filepath.Join(m.Root, name)
		if _, err := os.Stat(installed); errors.Is(err, os.ErrNotExist) {
			continue // a version in development has no VERSION, for one
		}
		if err := os.Symlink(installed, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// Toolchains that no run has asked for in this time are removed.
const keep = 30 * 24 * time.Hour

// touch notes that the toolchain in folder is used. It is a note only.
func touch(folder string) {
	now := time.Now()
	_ = os.Chtimes(folder, now, now)
}

// trim moves toolchains that were not used for long to the scratch folder,
// whose end is near. It is best effort: what can't be moved stays.
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
