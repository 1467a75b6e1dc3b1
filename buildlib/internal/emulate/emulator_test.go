package emulate

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func linux(arch string) v1.Platform { return v1.Platform{OS: "linux", Architecture: arch} }

// The program that Find tries is right for every architecture: that of a QEMU
// for another one is told from it.
func TestFindDirect(t *testing.T) {
	testenv.Require(t, "qemu")
	for arch := range arches {
		t.Run(arch, func(t *testing.T) {
			e, err := findDirect(t.Context(), linux(arch))
			var missing *Missing
			if errors.As(err, &missing) {
				testenv.Missing(t, "qemu", missing.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != Direct || !strings.Contains(filepath.Base(e.Path), arches[arch].qemu) {
				t.Errorf("found %+v", e)
			}
			if !regexp.MustCompile(`^\d+\.\d+`).MatchString(e.Version) {
				t.Errorf("version %q", e.Version)
			}
		})
	}
}

func TestFindOwn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	e, err := Find(t.Context(), linux(runtime.GOARCH))
	if err != nil || e != (Emulator{Kind: Native}) {
		t.Errorf("found %+v, %v", e, err)
	}
}

func TestFindBinfmt(t *testing.T) {
	testenv.Require(t, "qemu")
	testenv.Binfmt(t, "arm64")
	e, err := Find(t.Context(), linux("arm64"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != Binfmt || !strings.Contains(e.Path, "aarch64") || e.Version == "" {
		t.Errorf("found %+v", e)
	}
}

func TestFindNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	tests := []struct {
		os, arch, host string
		want           []string
	}{
		{"linux", "ppc64le", "linux", []string{"linux/ppc64le programs don't run here", "no qemu-ppc64le-static or qemu-ppc64le in PATH",
			"apt-get install qemu-user-static", "dnf install qemu-user-static (Fedora)", "apk add qemu-ppc64le"}},
		{"linux", "arm64", "darwin", []string{"linux/arm64", "needs a Linux host"}},
		{"windows", "arm64", "linux", []string{"windows/arm64", "Linux programs only"}},
		{"linux", "sparc64", "linux", []string{"linux/sparc64", "has no sparc64"}},
	}
	for _, test := range tests {
		p := v1.Platform{OS: test.os, Architecture: test.arch}
		err := possible(p, test.host)
		if err == nil && runtime.GOOS == "linux" {
			_, err = findDirect(t.Context(), p)
		}
		var missing *Missing
		if !errors.As(err, &missing) {
			t.Errorf("%v: error %v, want a *Missing", p, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: error %q doesn't say %q", p, err, want)
			}
		}
	}
}

// fakeQEMU puts a program of the platform's QEMU's name into an otherwise
// empty PATH, that does what script says with a program to run.
func fakeQEMU(t *testing.T, arch, script string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	dir := t.TempDir()
	script = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'qemu-fake version 2.1.0 (Test)'; exit; fi\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "qemu-"+arches[arch].qemu+"-static"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestFindBroken(t *testing.T) {
	tests := []struct{ script, want string }{
		{"kill -SEGV $$", "signal: segmentation fault"},
		{"echo 'qemu: Unsupported syscall: 435' >&2; exit 1", "Unsupported syscall: 435"},
		{"exit 3", "exit status 3"},
	}
	for _, test := range tests {
		fakeQEMU(t, "s390x", test.script)
		_, err := findDirect(t.Context(), linux("s390x"))
		var crash *Crash
		if !errors.As(err, &crash) {
			t.Errorf("%s: error %v, want a *Crash", test.script, err)
			continue
		}
		for _, want := range []string{test.want, "QEMU 2.1.0", "linux/s390x", "qemu-s390x-static"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q doesn't say %q", test.script, err, want)
			}
		}
	}
}

func TestCrashed(t *testing.T) {
	failed := errors.New("exit status 1")
	tests := []struct {
		err  error
		said string
		want string
	}{
		{nil, "", ""},
		{failed, "# app\n./main.go:3:1: undefined: signal", ""},
		{failed, "qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n", "qemu: uncaught target signal 11 (Segmentation fault)"},
		{failed, "# runtime\n/root/pkg/tool/linux_arm64/compile: signal: segmentation fault (core dumped)\n", "signal: segmentation fault"},
		{failed, "go build runtime: /x/compile: signal: illegal instruction\n", "signal: illegal instruction"},
	}
	for _, test := range tests {
		how, crashed := Crashed(test.err, test.said)
		if how != test.want || crashed != (test.want != "") {
			t.Errorf("%v, %q: %q, %v", test.err, test.said, how, crashed)
		}
	}
}
