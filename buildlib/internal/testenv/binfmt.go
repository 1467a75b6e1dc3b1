package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const binfmtMisc = "/proc/sys/fs/binfmt_misc"

// qemuNames are QEMU's names of the GOARCH values that Binfmt knows.
var qemuNames = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "arm": "arm", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x",
}

// Binfmt makes the kernel run programs of the named architectures (GOARCH;
// none: amd64, arm64 and arm) through QEMU, in containers too. It takes root, unless
// the machine is set up that way already; the setting outlives the test.
func Binfmt(t testing.TB, arches ...string) {
	t.Helper()
	if len(arches) == 0 {
		arches = []string{"amd64", "arm64", "arm"}
	}
	for _, arch := range arches {
		if arch == runtime.GOARCH {
			continue
		}
		name, ok := qemuNames[arch]
		if !ok {
			t.Fatalf("testenv.Binfmt: unknown architecture %q", arch)
		}
		if err := register("qemu-" + name); err != nil {
			Missing(t, "qemu", arch+" programs don't run here: "+err.Error())
		}
	}
}

// register has the kernel use the named entry of Debian's qemu-user-static,
// unless an entry of that name works in containers already.
func register(name string) error {
	entry := filepath.Join(binfmtMisc, name)
	if b, err := os.ReadFile(entry); err == nil {
		if worksInContainers(string(b)) {
			return nil
		}
		// An entry of that name can't be replaced, only removed.
		if err := os.WriteFile(entry, []byte("-1"), 0); err != nil {
			return fmt.Errorf("%s is off or not usable in containers: %w", entry, err)
		}
	}
	config, err := os.ReadFile("/usr/lib/binfmt.d/" + name + ".conf")
	if err != nil {
		return fmt.Errorf("%w (Debian package qemu-user-static)", err)
	}
	control := filepath.Join(binfmtMisc, "register")
	if _, err := os.Stat(control); err != nil {
		out, err := exec.Command("mount", "-t", "binfmt_misc", "binfmt_misc", binfmtMisc).CombinedOutput()
		if err != nil {
			return fmt.Errorf("mount binfmt_misc: %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	if err := os.WriteFile(control, config, 0); err != nil {
		// Another package's test may have been faster.
		if b, readErr := os.ReadFile(entry); readErr != nil || !worksInContainers(string(b)) {
			return err
		}
	}
	return nil
}

// worksInContainers reads an entry of binfmt_misc: it must be on, and have the
// flag F, with which the kernel opened the interpreter when it was registered
// instead of looking for it in each container.
func worksInContainers(entry string) bool {
	enabled, fixed := false, false
	for line := range strings.Lines(entry) {
		line = strings.TrimSpace(line)
		if line == "enabled" {
			enabled = true
		}
		if flags, ok := strings.CutPrefix(line, "flags:"); ok {
			fixed = strings.Contains(flags, "F")
		}
	}
	return enabled && fixed
}
