// Package emulate lets a platform's own Go toolchain build on this machine: it
// finds the emulator for the platform, and makes the toolchain. That is how a
// Dockerfile compiles under QEMU, and what cross-compiling is compared with.
//
// Its files: emulator.go says what runs a platform's programs, crash.go tells crashes
// from other failures, probe.go runs a program that does nothing, and find.go finds the
// emulator. maker.go says what a toolchain is; native.go asks the installed Go, cross.go
// compiles the platform's programs, module.go downloads them, record.go lists a
// toolchain's files, try.go tries it, and toolchain.go keeps it.
package emulate

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// How programs of a platform run on this machine.
const (
	Native = "native" // the kernel runs them itself, like 386 on amd64
	Binfmt = "binfmt" // the kernel hands them to an interpreter (binfmt_misc)
	Direct = "direct" // the interpreter has to be called
)

// Emulator is what runs programs of a platform on this machine. Use Find.
type Emulator struct {
	Kind string // Native, Binfmt or Direct
	// Path is the interpreter's, as the kernel names it. It may not exist in this
	// mount namespace, if it was registered in another one. Empty for Native.
	Path    string
	Version string // of QEMU, like 7.2.22; empty for Native and for other interpreters
}

// String names the emulator in a sentence.
func (e Emulator) String() string {
	switch {
	case e.Kind == Native:
		return "the kernel"
	case e.Path == "":
		return "the interpreter that the kernel calls"
	case e.Version == "":
		return e.Path
	}
	return fmt.Sprintf("%s (QEMU %s)", e.Path, e.Version)
}

// command returns the arguments that run a program of e's platform.
func (e Emulator) command(argv ...string) []string {
	if e.Kind == Direct {
		return append([]string{e.Path}, argv...)
	}
	return argv
}

// Missing is the error of Find for a platform whose programs nothing runs here.
type Missing struct {
	Platform string
	Reason   string
	Install  string // how to install it; empty if no installation would help
}

func (m *Missing) Error() string {
	s := fmt.Sprintf("%s programs don't run here: %s", m.Platform, m.Reason)
	if m.Install != "" {
		s += "; install QEMU's user-mode emulation: " + m.Install
	}
	return s
}

// patience is how long an emulator may take to run a program that does nothing.
const patience = 20 * time.Second

var errPatience = fmt.Errorf("still not done after %s", patience)

var versionLine = regexp.MustCompile(`^qemu-\S+ version (\S+)`)

// qemuVersion asks an interpreter for its version. It is empty if the interpreter isn't
// QEMU, or doesn't answer.
func qemuVersion(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := process.Output(ctx, process.Command(ctx, path, "--version"))
	if err != nil {
		return ""
	}
	if m := versionLine.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return ""
}
