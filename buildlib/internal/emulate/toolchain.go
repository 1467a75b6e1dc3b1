package emulate

import (
	"context"
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Toolchain is a Go toolchain whose programs are a foreign platform's, of the
// version that builds natively.
type Toolchain struct {
	// Root is its GOROOT, which builds with it need in their environment if
	// they have another there.
	Root string
	// Origin tells where it is from: golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64
	// or "cross-built from go1.26.8"; "installed" for the host's own.
	Origin string
}

// ErrChecksum is the error of a downloaded toolchain that is not the one that
// the checksum database knows.
var ErrChecksum = errors.New("the downloaded Go toolchain is not the one that the checksum database knows")

// Options tell of the Go that builds natively.
type Options struct {
	Root    string                           // its GOROOT
	Version string                           // its version as go env GOVERSION prints it, like go1.26.8
	Cache   string                           // a folder for toolchains, kept between runs
	Log     func(format string, args ...any) // told of what takes time and what was decided; nil for nobody
}

// Command returns the go command to call instead of "go", and arguments that
// go build needs besides.
func (t Toolchain) Command(e Emulator) (argv, flags []string) {
	return nil, nil
}

// Toolchain returns the toolchain of the platform, making it if the cache
// doesn't have it, after trying it with the emulator: the error is a *Crash if
// the emulator can't run it, and ErrChecksum if it was tampered with.
func (o Options) Toolchain(ctx context.Context, platform v1.Platform, e Emulator) (Toolchain, error) {
	return Toolchain{}, errors.New("not made yet")
}
