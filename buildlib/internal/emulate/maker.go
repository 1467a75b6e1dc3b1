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

// native is what the installed go command says of itself.
type native map[string]string

func (m *maker) log(format string, args ...any) {
	if m.Log != nil {
		m.Log("%s: %s", m.platform, fmt.Sprintf(format, args...))
	}
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
