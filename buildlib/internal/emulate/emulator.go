// Package emulate lets a platform's own Go toolchain build on this machine: it
// finds the emulator for the platform, and makes the toolchain. That is how a
// Dockerfile compiles under QEMU, and what cross-compiling is compared with.
//
// Its files: emulator.go finds what runs a platform's programs, with probe.go, which
// runs a program that does nothing, and crash.go, which tells crashes from other
// failures; toolchain.go keeps the toolchain, with native.go, which asks the
// installed Go, module.go, which downloads the platform's, cross.go, which compiles
// it, record.go, which lists its files, and try.go, which tries it.
package emulate

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// How programs of a platform run on this machine.
const (
	Native = "native" // the kernel runs them itself, like 386 on amd64
	Binfmt = "binfmt" // the kernel hands them to an interpreter (binfmt_misc)
	Direct = "direct" // the interpreter has to be called
)

// Emulator is what runs programs of a platform on this machine. Use Find or
// FindDirect.
type Emulator struct {
	Kind string // Native, Binfmt or Direct
	// Path is the interpreter's, as the kernel names it: one that was
	// registered in another mount namespace need not be there in this one.
	// Empty for Native.
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

// Missing is the error of a Find for a platform whose programs nothing runs here.
type Missing struct {
	Platform string
	Reason   string
	Install  string // what to install; empty where nothing would help
}

func (m *Missing) Error() string {
	s := fmt.Sprintf("%s programs don't run here: %s", m.Platform, m.Reason)
	if m.Install != "" {
		s += "; install QEMU's user-mode emulation: " + m.Install
	}
	return s
}

// patience is how long an emulator may take over a program that does nothing.
const patience = 20 * time.Second

var errPatience = fmt.Errorf("still not done after %s", patience)

// Find finds out how programs of the platform run here, by running one. What
// the kernel can do comes before a QEMU in PATH. The error is a *Missing if
// nothing runs them, and a *Crash if what there is doesn't work.
func Find(ctx context.Context, platform v1.Platform) (Emulator, error) {
	if err := possible(platform, runtime.GOOS); err != nil {
		return Emulator{}, err
	}
	e, ran, err := probeKernel(ctx, platform)
	if err != nil || ran == nil {
		return e, err
	}
	direct, err := FindDirect(ctx, platform)
	if missing, ok := err.(*Missing); ok {
		missing.Reason = fmt.Sprintf("the kernel says %q, and %s", ran, missing.Reason)
	}
	return direct, err
}

// FindDirect looks for the platform's QEMU in PATH, which takes no setting of
// the machine and no root.
func FindDirect(ctx context.Context, platform v1.Platform) (Emulator, error) {
	if err := possible(platform, runtime.GOOS); err != nil {
		return Emulator{}, err
	}
	arch := arches[platform.Architecture].qemu
	names := []string{"qemu-" + arch + "-static", "qemu-" + arch}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		e := Emulator{Kind: Direct, Path: path, Version: qemuVersion(ctx, path)}
		return e, probeDirect(ctx, platform, e)
	}
	return Emulator{}, &Missing{
		Platform: platform.String(),
		Reason:   "there is no " + strings.Join(names, " or ") + " in PATH",
		Install:  fmt.Sprintf("apt-get install qemu-user-static (Debian, Ubuntu), dnf install qemu-user-static (Fedora), apk add qemu-%s (Alpine)", arch),
	}
}

// possible returns a *Missing if no installation would help.
func possible(platform v1.Platform, host string) error {
	reason := ""
	switch _, known := arches[platform.Architecture]; {
	case host != "linux":
		reason = "user-mode emulation needs a Linux host"
	case platform.OS != "linux":
		reason = "QEMU's user-mode emulation runs Linux programs only"
	case !known:
		reason = "QEMU's user-mode emulation has no " + platform.Architecture
	default:
		return nil
	}
	return &Missing{Platform: platform.String(), Reason: reason}
}

var versionLine = regexp.MustCompile(`^qemu-\S+ version (\S+)`)

// qemuVersion asks an interpreter for its version. An empty one means that it
// is no QEMU, or not one that says so.
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
