package emulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// installed returns the root and version of the Go that runs the tests.
var installed = sync.OnceValues(func() ([]string, error) {
	out, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
})

func newOptions(t *testing.T) (Options, *log) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("user-mode emulation needs Linux")
	}
	is, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	logged := &log{}
	return Options{Root: is[0], Version: is[1], Cache: t.TempDir(), Log: logged.printf}, logged
}

// newMaker returns a maker of the host's own platform: what it makes can be
// run, and this test's executable taken for a part of it.
func newMaker(t *testing.T) (*maker, *log) {
	t.Helper()
	o, logged := newOptions(t)
	return &maker{Options: o, platform: linux(runtime.GOARCH)}, logged
}

// prepare does what open does before it makes a toolchain, and returns its root.
func (m *maker) prepare(t *testing.T) string {
	t.Helper()
	err := m.ask(t.Context())
	if err == nil {
		m.scratch, err = disk.NewScratch(t.Context(), filepath.Join(m.Cache, "tmp"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.scratch.Remove() })
	return filepath.Join(m.scratch.Dir, "goroot")
}

// self returns the executable that runs this test.
func self(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// log collects what was logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// downloads ends a test's context if a toolchain is cross-built, which takes
// minutes, where it should have been downloaded.
func downloads(t *testing.T, m *maker) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	log := m.Log
	m.Log = func(format string, args ...any) {
		log(format, args...)
		if line := fmt.Sprintf(format, args...); strings.Contains(line, "cross-built") {
			cancel(errors.New(line))
		}
	}
	return ctx
}

func (l *log) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.b, format+"\n", args...)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// empty makes sure that a cache holds no toolchain and nothing half-written.
func empty(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "tmp" {
			t.Errorf("the cache has %s", e.Name())
		}
	}
	unfinished, err := filepath.Glob(filepath.Join(cache, "tmp", "run-*"))
	if err != nil || len(unfinished) > 0 {
		t.Errorf("the cache has %s (%v)", unfinished, err)
	}
}

// What is kept is used again, unless somebody touched it.
func TestKept(t *testing.T) {
	m, logged := newMaker(t)
	p := newProxy(t, m)
	p.programs(m, self(t)).serve("")
	ctx := downloads(t, m)
	first, err := m.open(ctx)
	if err != nil {
		t.Fatalf("%v; log:\n%s", err, logged)
	}
	if first.Origin != p.module {
		t.Errorf("origin %q", first.Origin)
	}
	folder := filepath.Dir(first.Root)
	link := m.programs(first.Root)["link"]
	info, err := os.Stat(link)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o100 == 0 {
		t.Errorf("link has mode %v", info.Mode())
	}
	damages := []struct {
		what   string
		damage func() error
		notice string // empty: it is as good as before
	}{
		{"nothing", func() error { return nil }, ""},
		{"new times", func() error { return os.Chtimes(link, time.Now(), time.Now()) }, ""},
		{"truncated", func() error { return os.Truncate(link, 1000) }, "1000 bytes instead of"},
		{"a byte changed, its time restored", func() error {
			f, err := os.OpenFile(link, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte{1}, 2000); err != nil {
				return err
			}
			return os.Chtimes(link, info.ModTime(), info.ModTime())
		}, "different content"},
		{"not executable", func() error { return os.Chmod(link, 0o644) }, "not executable"},
		{"a program missing", func() error { return os.Remove(link) }, "no such file"},
		{"another link", func() error {
			src := filepath.Join(first.Root, "src")
			return errors.Join(os.Remove(src), os.Symlink(t.TempDir(), src))
		}, "src is not a link to"},
		{"no record", func() error { return os.Remove(filepath.Join(folder, recordName)) }, recordName},
		{"half a record", func() error { return os.Truncate(filepath.Join(folder, recordName), 100) }, recordName},
		{"empty", func() error { return os.RemoveAll(first.Root) }, "no such file"},
		{"gone", func() error { return os.RemoveAll(folder) }, ""},
	}
	for _, test := range damages {
		if err := test.damage(); err != nil {
			t.Fatal(err)
		}
		logged.b.Reset()
		again, err := m.open(ctx)
		if err != nil {
			t.Fatalf("%s: %v", test.what, err)
		}
		if again != first {
			t.Errorf("%s: %+v instead of %+v", test.what, again, first)
		}
		if _, err := readRecord(t.Context(), folder); err != nil {
			t.Errorf("%s: not repaired: %v", test.what, err)
		}
		if noticed := strings.Contains(logged.String(), "is damaged"); noticed != (test.notice != "") || !strings.Contains(logged.String(), test.notice) {
			t.Errorf("%s: log doesn't say %q:\n%s", test.what, test.notice, logged)
		}
		if made := strings.Contains(logged.String(), "made the Go toolchain"); made != (test.notice != "" || test.what == "gone") {
			t.Errorf("%s: log:\n%s", test.what, logged)
		}
	}
}

// Two runs at once make it once.
func TestTwoAtOnce(t *testing.T) {
	m, logged := newMaker(t)
	newProxy(t, m).programs(m, self(t)).serve("")
	ctx := downloads(t, m)
	roots, errs := make([]Toolchain, 3), make([]error, 3)
	var all sync.WaitGroup
	for i := range roots {
		all.Go(func() {
			one := *m
			roots[i], errs[i] = one.open(ctx)
		})
	}
	all.Wait()
	for i := range roots {
		if errs[i] != nil || roots[i] != roots[0] {
			t.Errorf("%+v, %v", roots[i], errs[i])
		}
	}
	if n := strings.Count(logged.String(), "made the Go toolchain"); n != 1 {
		t.Errorf("made %d times:\n%s", n, logged)
	}
}

// Who is interrupted, or killed, leaves nothing that the next one trips over.
func TestInterrupted(t *testing.T) {
	m, logged := newMaker(t)
	newProxy(t, m).programs(m, self(t)).serve("")
	why := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	m.Log = func(format string, args ...any) {
		if strings.Contains(fmt.Sprintf(format, args...), "asking for") {
			cancel(why)
		}
	}
	if _, err := m.open(ctx); !errors.Is(err, why) {
		t.Errorf("error %v, want the context's cause", err)
	}
	empty(t, m.Cache)

	killed := filepath.Join(m.Cache, "tmp", "run-1", "made", "goroot", "bin", "go")
	write(t, killed, []byte("half"))
	m.Log = logged.printf
	if _, err := m.open(downloads(t, m)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed run left is still there: %v", err)
	}
}

func TestTrim(t *testing.T) {
	m, _ := newMaker(t)
	newProxy(t, m).programs(m, self(t)).serve("")
	old, young := filepath.Join(m.Cache, "go1.20-linux-arm64-0"), filepath.Join(m.Cache, "go1.25-linux-arm64-0")
	for path, age := range map[string]time.Duration{old: keep + time.Hour, young: keep - time.Hour} {
		write(t, filepath.Join(path, "goroot", "bin", "go"), nil)
		used := time.Now().Add(-age)
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.open(downloads(t, m)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not removed: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
}

// A full disk is said, with its folder, both by what is copied and what go
// writes; and nothing half-written stays.
func TestDiskFull(t *testing.T) {
	for _, how := range []string{"downloaded", "cross-built"} {
		t.Run(how, func(t *testing.T) {
			m, logged := newMaker(t)
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "multimage-test", m.Cache).CombinedOutput(); err != nil {
				testenv.Missing(t, "tmpfs", fmt.Sprintf("can't mount one (needs root): %v: %s", err, out))
			}
			t.Cleanup(func() {
				if out, err := exec.Command("umount", "-l", m.Cache).CombinedOutput(); err != nil {
					t.Errorf("umount: %v: %s", err, out)
				}
			})
			p := newProxy(t, m)
			if how == "downloaded" {
				p.programs(m, self(t)).serve("")
			} else {
				// Compiled for a platform that nobody has compiled for.
				t.Setenv("GOCACHE", t.TempDir())
			}
			_, err := m.open(t.Context())
			if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), m.Cache) {
				t.Errorf("error %v; log:\n%s", err, logged)
			}
			empty(t, m.Cache)
		})
	}
}

func TestBadInstallation(t *testing.T) {
	t.Run("version", func(t *testing.T) {
		o, _ := newOptions(t)
		o.Version = "go1.99.0"
		_, err := o.Toolchain(t.Context(), foreign(), Emulator{Kind: Native})
		refused(t, err, "go1.99.0", o.Root+" is go1.", foreign().String())
	})
	t.Run("no Go", func(t *testing.T) {
		o, _ := newOptions(t)
		o.Root = t.TempDir()
		_, err := o.Toolchain(t.Context(), foreign(), Emulator{Kind: Native})
		refused(t, err, "go env", filepath.Join(o.Root, "bin", "go"))
	})
	t.Run("no sources", func(t *testing.T) {
		m, _ := newMaker(t)
		t.Setenv("GOPROXY", "off")
		// A copy of the installed one, as a distribution packs it.
		repacked := t.TempDir()
		for _, name := range []string{"bin", "pkg", "lib", "VERSION", "go.env"} {
			if err := os.Symlink(filepath.Join(m.Root, name), filepath.Join(repacked, name)); err != nil {
				t.Fatal(err)
			}
		}
		m.Root = repacked
		_, err := m.open(t.Context())
		refused(t, err, "lacks Go's own sources (src/cmd/asm, src/cmd/compile", "golang-1.", "-src (Debian, Ubuntu)", "golang-src (Fedora)", "https://go.dev/dl")
		empty(t, m.Cache)
	})
}

// foreign returns a platform of Linux that is not the host's.
func foreign() v1.Platform {
	if runtime.GOARCH == "arm64" {
		return linux("amd64")
	}
	return linux("arm64")
}

func refused(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q doesn't say %q", err, want)
		}
	}
}

// The environment of the project's build has no say in how its compiler is
// built, but where modules and results are kept has.
func TestSurroundings(t *testing.T) {
	env := []string{"PATH=/bin", "GOFLAGS=-tags=x", "GOEXPERIMENT=jsonv2", "GOARM=5", "CGO_CFLAGS=-O0", "GOROOT=/x", "GOPROXY=https://proxy", "GODEBUG=netdns=go", "GOENV=/x/env", "GOTOOLCHAIN=go1.20.0", "GIT_HTTP_USER_AGENT=proxy.golang.org"}
	want := []string{"PATH=/bin", "GOPROXY=https://proxy", "GODEBUG=netdns=go", "GOENV=/x/env"}
	if got := withoutSettings(env, "GOPROXY"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCommand(t *testing.T) {
	tests := []struct {
		e           Emulator
		argv, flags []string
	}{
		{Emulator{Kind: Native}, []string{"/r/bin/go"}, nil},
		{Emulator{Kind: Binfmt, Path: "/usr/bin/qemu-arm"}, []string{"/r/bin/go"}, nil},
		{Emulator{Kind: Direct, Path: "/usr/bin/qemu-arm"}, []string{"/usr/bin/qemu-arm", "/r/bin/go"}, []string{"-toolexec=/usr/bin/qemu-arm"}},
		{Emulator{Kind: Direct, Path: "/my tools/qemu"}, []string{"/my tools/qemu", "/r/bin/go"}, []string{"-toolexec='/my tools/qemu'"}},
	}
	for _, test := range tests {
		argv, flags := Toolchain{Root: filepath.FromSlash("/r")}.Command(test.e)
		argv[len(argv)-1] = filepath.ToSlash(argv[len(argv)-1])
		if !slices.Equal(argv, test.argv) || !slices.Equal(flags, test.flags) {
			t.Errorf("%+v: %q, %q", test.e, argv, flags)
		}
	}
}
