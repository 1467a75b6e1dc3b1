package emulate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/process"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// An app has what makes each tool work for it: generics, assembly and a little
// arithmetic. Its library is compiled beforehand, which under QEMU would take
// minutes.
var app = map[string]string{
	"go.mod": "module example.com/app\n\ngo 1.26\n",
	"main.go": `package main

func add(a, b uint64) uint64

func largest[T int | string](list ...T) (most T) {
	for _, one := range list {
		most = max(most, one)
	}
	return most
}

func main() { println(NAME, add(40, 2), largest("a", "c", "b"), largest(1, 3, 2)) }
`,
	"add_arm64.s": `#include "textflag.h"

TEXT ·add(SB), NOSPLIT, $0-24
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	ADD  R0, R1, R0
	MOVD R0, ret+16(FP)
	RET
`,
}

// A foreign toolchain builds what the native one does, to the last byte, both
// where the kernel knows its programs and where QEMU has to be called.
func TestSameBytes(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("nothing is emulated here")
	}
	testenv.Require(t, "qemu")
	testenv.Binfmt(t, "arm64")
	platform := linux("arm64")
	found, err := Find(t.Context(), platform)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := findDirect(t.Context(), platform)
	if err != nil {
		t.Fatal(err)
	}
	o, logged := newOptions(t)
	toolchain, err := o.Toolchain(t.Context(), platform, found)
	if err != nil {
		t.Fatalf("%v; log:\n%s", err, logged)
	}
	t.Logf("%s, %s", toolchain.Origin, found)

	dir := t.TempDir()
	build := func(name, cache string, argv, flags []string, env ...string) string {
		t.Helper()
		for file, content := range app {
			write(t, filepath.Join(dir, file), []byte(strings.ReplaceAll(content, "NAME", fmt.Sprintf("%q", name))))
		}
		output := filepath.Join(t.TempDir(), "app")
		args := append(append(argv[1:len(argv):len(argv)], "build", "-v", "-trimpath", "-buildvcs=false", "-o", output), flags...)
		cmd := process.Command(t.Context(), argv[0], args...)
		cmd.Dir = dir
		cmd.Env = append(withoutSettings(os.Environ(), "GOMODCACHE", "GOPATH"), "GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOPROXY=off",
			"GOCACHE="+cache, "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64", "GOARM64=v8.0")
		cmd.Env = append(cmd.Env, env...)
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", cmd.Args, err, said)
		}
		if name != "seed" && strings.TrimSpace(string(said)) != "example.com/app" {
			t.Errorf("%q compiled more than the app:\n%s", cmd.Args, said)
		}
		return output
	}
	seed, native := t.TempDir(), t.TempDir()
	build("seed", seed, []string{"go"}, nil)
	if err := os.CopyFS(native, os.DirFS(seed)); err != nil {
		t.Fatal(err)
	}
	for _, e := range []Emulator{found, direct} {
		want, err := os.ReadFile(build(e.Kind, native, []string{"go"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		argv, flags := toolchain.Command(e)
		path := build(e.Kind, seed, argv, flags, "GOROOT="+toolchain.Root)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes natively, %d other bytes emulated", e.Kind, len(want), len(got))
		}
		out, err := exec.Command(direct.Path, path).CombinedOutput()
		if want := e.Kind + " 42 c 3\n"; err != nil || string(out) != want {
			t.Errorf("printed %q, %v; want %q", out, err, want)
		}
	}
}

// The toolchain is tried before anybody relies on it.
func TestTry(t *testing.T) {
	tests := []struct{ name, script, want string }{
		// What an old QEMU does: programs that do nothing run, others don't.
		{"go crashes", "kill -SEGV $$", "go env fails under"},
		{"the compiler crashes", `case $1 in */compile) kill -ILL $$;; *) printf "$VERSION\ns390x\n";; esac`, "the Go compiler fails under"},
		{"another version", `echo go1.20; echo s390x`, `says that it is "go1.20\ns390x"`},
		{"the host's", `printf "$VERSION\namd64\n"`, `amd64", not`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, _ := newMaker(t)
			m.platform = linux("s390x")
			fakeQEMU(t, "s390x", `case $1 in */program) exit;; esac; `+test.script)
			t.Setenv("VERSION", m.Version)
			e, err := findDirect(t.Context(), m.platform)
			if err != nil {
				t.Fatal(err)
			}
			err = m.try(t.Context(), Toolchain{Root: t.TempDir()}, e)
			refused(t, err, test.want)
			if strings.Contains(test.script, "kill") {
				refused(t, err, "signal: ", "QEMU 2.1.0", "linux/s390x")
			}
		})
	}
}

// The installed Go makes programs for another platform from its own sources.
func TestCrossBuild(t *testing.T) {
	m, _ := newMaker(t)
	m.platform = foreign()
	// All of them take minutes; the smallest one tells as much of how.
	m.only = []string{"preprofile"}
	t.Setenv("GOFLAGS", "-tags=nonsense -race")
	t.Setenv("GOEXPERIMENT", "nonsense")
	root := m.prepare(t)
	if err := os.MkdirAll(m.tools(root), 0o755); err != nil {
		t.Fatal(err)
	}
	origin, err := m.crossBuild(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "cross-built from "+m.Version {
		t.Errorf("origin %q", origin)
	}
}
