package testenv

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// debianArches are Debian's names of the platforms that real bases have.
var debianArches = map[string]string{
	"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm64/v8": "arm64", "linux/arm/v7": "armhf",
}

// busybox returns Debian's static busybox of each platform that has one.
//
// The packages come from the folder that TEST_BUSYBOX names, by default one in
// the user's cache folder; they are fetched into it when it isn't there.
func busybox(t testing.TB) map[string][]byte {
	t.Helper()
	Require(t, "dpkg-deb")
	programs, err := busyboxOnce()
	if err != nil {
		Missing(t, "busybox", err.Error())
	}
	return programs
}

var busyboxOnce = sync.OnceValues(func() (map[string][]byte, error) {
	dir := os.Getenv("TEST_BUSYBOX")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(cache, "multimage-tests", "busybox-static")
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := fetchBusybox(dir); err != nil {
			return nil, err
		}
	}
	programs := map[string][]byte{}
	for platform, arch := range debianArches {
		packages, err := filepath.Glob(filepath.Join(dir, "busybox-static_*_"+arch+".deb"))
		if err != nil {
			return nil, err
		}
		if len(packages) != 1 {
			return nil, fmt.Errorf("%s: want one busybox-static_*_%s.deb, found %d", dir, arch, len(packages))
		}
		if programs[platform], err = fromPackage(packages[0], "./bin/busybox"); err != nil {
			return nil, err
		}
	}
	return programs, nil
})

// fetchBusybox downloads the packages with apt-get. It keeps package lists of
// its own, so that the machine needn't take foreign architectures, and needs
// no root.
func fetchBusybox(dir string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("busybox-static comes from Debian, and apt-get isn't in PATH (TEST_BUSYBOX names a folder that has the packages)")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	packages := filepath.Join(work, "packages")
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "packages"} {
		if err := os.MkdirAll(filepath.Join(work, sub), 0o755); err != nil {
			return err
		}
	}
	var out []byte
	aptGet := func(args ...string) error {
		args = append([]string{
			"-o", "Dir::State::lists=" + filepath.Join(work, "lists"),
			"-o", "Dir::Cache=" + filepath.Join(work, "cache"),
			"-o", "APT::Architectures::=amd64",
			"-o", "APT::Architectures::=arm64",
			"-o", "APT::Architectures::=armhf",
			"-o", "APT::Sandbox::User=",
		}, args...)
		cmd := exec.Command("apt-get", args...)
		cmd.Dir = packages
		out, err = cmd.CombinedOutput()
		return err
	}
	// An update that couldn't read one of several sources is an error too, so
	// the download decides.
	_ = aptGet("update")
	if err := aptGet("download", "busybox-static:amd64", "busybox-static:arm64", "busybox-static:armhf"); err != nil {
		return fmt.Errorf("apt-get download busybox-static: %w: %s", err, bytes.TrimSpace(out))
	}
	// Two packages' tests may fetch at once: the first rename wins.
	if err := os.Rename(packages, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

// fromPackage returns one file of a Debian package.
func fromPackage(deb, name string) ([]byte, error) {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w: %s", deb, err, stderr.String())
	}
	for tr := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := tr.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", deb, name, err)
		}
		if h.Name == name {
			return io.ReadAll(tr)
		}
	}
}
