package emulate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tryPatience is after what time an emulated toolchain counts as hanging when it
// compiles a few lines, which takes about a second.
const tryPatience = 2 * time.Minute

// try runs the toolchain before it is relied on: the go command, which has to print the
// right version, and the compiler on a few lines. Here, or in a longer compilation, it
// shows if QEMU is too old for the platform or the Go version.
func (m *maker) try(ctx context.Context, t Toolchain, e Emulator) error {
	dir, err := os.MkdirTemp("", "multimage-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	limited, cancel := context.WithTimeoutCause(ctx, tryPatience, fmt.Errorf("still not done after %s", tryPatience))
	defer cancel()
	env := append(withoutSettings(os.Environ()), "GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOROOT="+t.Root)
	argv, _ := t.Command(e)
	out, err := run(limited, dir, env, append(argv, "env", "GOVERSION", "GOHOSTARCH")...)
	if err != nil {
		return crash(ctx, m.platform, e, "go env", err)
	}
	want := m.Version + "\n" + m.platform.Architecture
	if got := strings.TrimSpace(string(out)); got != want {
		return fmt.Errorf("%s says that it is %q, not %q", argv[len(argv)-1], got, want)
	}
	source := filepath.Join(dir, "p.go")
	if err := os.WriteFile(source, []byte(tried), 0o644); err != nil {
		return err
	}
	argv = e.command(m.programs(t.Root)["compile"], "-o", filepath.Join(dir, "p.a"), "-p", "p", "-complete", source)
	if _, err := run(limited, dir, env, argv...); err != nil {
		return crash(ctx, m.platform, e, "the Go compiler", err)
	}
	return nil
}

// tried is a package without imports, which needs nothing compiled before it.
const tried = `package p

type Tree[K comparable] struct {
	left, right *Tree[K]
	keys        map[K]float64
}

func (t *Tree[K]) Sum() (sum float64) {
	if t == nil {
		return 0
	}
	for _, v := range t.keys {
		sum += v
	}
	return t.left.Sum() + sum + t.right.Sum()
}

func Use() float64 { return (&Tree[string]{keys: map[string]float64{"one": 1}}).Sum() }
`
