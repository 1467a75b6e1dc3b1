package emulate

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Find finds out how programs of the platform run here, by running one. The kernel comes
// before a QEMU in PATH. The error is a *Missing if nothing runs them, and a *Crash if
// the emulator doesn't work.
func Find(ctx context.Context, platform v1.Platform) (Emulator, error) {
	if err := possible(platform, runtime.GOOS); err != nil {
		return Emulator{}, err
	}
	e, refused, err := probeKernel(ctx, platform)
	if err != nil || refused == nil {
		return e, err
	}
	direct, err := findDirect(ctx, platform)
	if missing, ok := err.(*Missing); ok {
		missing.Reason = fmt.Sprintf("the kernel says %q, and %s", refused, missing.Reason)
	}
	return direct, err
}

// findDirect looks for the platform's QEMU in PATH, which needs no setup of the machine
// and no root.
func findDirect(ctx context.Context, platform v1.Platform) (Emulator, error) {
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
