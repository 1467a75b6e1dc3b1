package emulate

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Toolchain is a Go toolchain whose programs are for a foreign platform. Its version is
// the one that builds natively. Use Options.Toolchain.
type Toolchain struct {
	// Root is its GOROOT, and must be the only one in a build's environment.
	Root string
	// Origin is where it came from: golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64
	// or "cross-built from go1.26.8"; "installed" for the host's own.
	Origin string
}

// Command returns what to call instead of the go command, and further flags that go
// build needs: if the kernel doesn't call the interpreter, it has to run the compiler,
// too.
func (t Toolchain) Command(e Emulator) (argv, flags []string) {
	argv = e.command(filepath.Join(t.Root, "bin", "go"))
	if e.Kind == Direct {
		flags = []string{"-toolexec=" + quote(e.Path)}
	}
	return argv, flags
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
	Log     func(format string, args ...any) // reports slow steps and decisions; nil: nothing is logged
}

// ErrChecksum is the error of a downloaded toolchain that differs from the checksum
// database, or of a database with a wrong signature.
var ErrChecksum = errors.New("tampered with, or the checksum database was")

// maker makes the toolchain of one platform:
//
//	CACHE/KEY/goroot/      the toolchain
//	CACHE/KEY/record.json  what belongs in it
//	CACHE/KEY.lock         held while it is checked or made
//	CACHE/tmp/             toolchains that are being made, a folder per process
type maker struct {
	Options
	platform v1.Platform
	native   map[string]string // settings of the installed go command
	scratch  *disk.Scratch
	only     []string // programs to make, for tests; nil for all
}

func (m *maker) log(format string, args ...any) {
	if m.Log != nil {
		m.Log("%s: %s", m.platform, fmt.Sprintf(format, args...))
	}
}

// tools returns the folder of a GOROOT that holds the platform's compiler.
func (m *maker) tools(root string) string {
	return filepath.Join(root, "pkg", "tool", m.platform.OS+"_"+m.platform.Architecture)
}

// programs returns the paths of the programs that a build without C runs, by name:
// not gofmt, vet, fix and cgo.
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
