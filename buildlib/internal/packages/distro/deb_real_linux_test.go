package distro

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/store"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestReal makes a minimal Debian of the mirror that this machine's apt uses,
// adds packages to it, and asks the programs of Debian about the result.
func TestReal(t *testing.T) {
	testenv.Slow(t)
	for _, test := range []struct{ arch, goarch, platform string }{
		{"amd64", "amd64", "linux/amd64"}, {"arm64", "arm64", "linux/arm64"}, {"armhf", "arm", "linux/arm/v7"},
	} {
		arch := test.arch
		t.Run(arch, func(t *testing.T) {
			if test.goarch != runtime.GOARCH {
				// apt-get under QEMU, the oracle, takes minutes.
				if !slices.Contains(strings.Split(os.Getenv("TEST_PLATFORMS"), ","), test.platform) {
					t.Skipf("TEST_PLATFORMS doesn't list %s, which takes minutes under QEMU", test.platform)
				}
				testenv.Binfmt(t, test.goarch)
			}
			client := realClient(t)
			root := bootstrap(t, client, arch)
			oracle := t.TempDir()
			run(t, "", "cp", "-a", root+"/.", oracle)
			wanted := []string{"python3", "ca-certificates", "iputils-ping", "less", "libcap2-bin"}
			install(t, client, root, arch, wanted, nil)
			if got := run(t, root, "python3", "-c", "import ssl, json, sqlite3; print(json.dumps(sqlite3.connect(':memory:').execute('select 6*7').fetchall()))"); got != "[[42]]\n" {
				t.Errorf("python3 says %q", got)
			}
			if got := run(t, root, "dpkg", "--verify"); got != "" {
				t.Errorf("dpkg --verify: %s", got)
			}
			if got := run(t, root, "dpkg", "--audit"); got != "" {
				t.Errorf("dpkg --audit: %s", got)
			}
			run(t, root, "apt-get", "check")
			if got := run(t, root, "getcap", "/bin/ping"); !strings.Contains(got, "cap_net_raw=ep") {
				t.Errorf("getcap /bin/ping: %q", got)
			}
			if test.goarch != runtime.GOARCH && !testenv.Required("qemu") {
				return // apt-get takes minutes there
			}
			run(t, oracle, "apt-get", "-qq", "update")
			run(t, oracle, "apt-get", "-qq", "-y", "--no-install-recommends", "-oDpkg::Options::=--force-unsafe-io", "install", strings.Join(wanted, " "))
			if ours, theirs := files(t, root), files(t, oracle); !slices.Equal(ours, theirs) {
				t.Errorf("files differ from those of apt-get:\n%s", difference(theirs, ours))
			}
			ours, theirs := readFile(t, root+"/"+statusPath), readFile(t, oracle+"/"+statusPath)
			if ours != theirs {
				t.Errorf("%s differs:\n%s", statusPath, difference(strings.Split(theirs, "\n"), strings.Split(ours, "\n")))
			}
		})
	}
}

func realClient(t *testing.T) *packages.Client {
	t.Helper()
	if os.Getuid() != 0 {
		testenv.Missing(t, "root", "needs chroot and owners of files")
	}
	testenv.Require(t, "dpkg-deb")
	cache, err := store.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return &packages.Client{Cache: cache}
}

// bootstrap returns a folder with Debian's essential packages and apt, made by
// unpacking them as others.
func bootstrap(t *testing.T, client *packages.Client, arch string) string {
	t.Helper()
	root := t.TempDir()
	all, err := (&debSystem{base: os.DirFS("/"), arch: arch}).sources()
	if err != nil {
		testenv.Missing(t, "apt", err.Error())
	}
	var lines strings.Builder
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	for _, s := range all {
		// Not every mirror has security updates for all platforms.
		if s.signedBy == keyring && slices.Contains(s.components, "main") && !strings.HasSuffix(s.suite, "-security") {
			fmt.Fprintf(&lines, "deb [signed-by=%s] %s %s main\n", keyring, s.uri, s.suite)
		}
	}
	if lines.Len() == 0 {
		testenv.Missing(t, "apt", "this machine's apt has no source of Debian's")
	}
	for name, text := range map[string]string{"etc/apt/sources.list": lines.String(), keyring: readFile(t, keyring), statusPath: "",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n",
		"etc/group":  "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n", "var/lib/dpkg/info/format": "1\n"} {
		write(t, filepath.Join(root, name), strings.NewReader(text), 0o644)
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if err := os.MkdirAll(root+"/usr/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"/dev", "/usr/local/share"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mknod(root+"/dev/null", syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		testenv.Missing(t, "root", "devices can't be made here: "+err.Error())
	}
	if err := os.Chmod(root+"/dev/null", 0o666); err != nil {
		t.Fatal(err)
	}
	s := &debSystem{base: os.DirFS(root), arch: arch, installed: map[string]*pkg{}}
	u, err := s.universe(t.Context(), client)
	if err != nil {
		testenv.Missing(t, "apt", err.Error())
	}
	wanted := []string{"apt", "debian-archive-keyring"}
	for name, list := range u.named {
		if list[0].essential {
			wanted = append(wanted, name)
		}
	}
	slices.Sort(wanted)
	chosen, err := choose(u, s.installed, wanted)
	list := locked(chosen)
	if err != nil {
		t.Fatal(err)
	}
	var ignore []string
	for _, p := range list {
		ignore = append(ignore, p.Name)
	}
	unpackInto(t, client, s, root, list, wanted, ignore)
	if resolv, err := os.ReadFile("/etc/resolv.conf"); err == nil {
		write(t, root+"/etc/resolv.conf", bytes.NewReader(resolv), 0o644)
	}
	run(t, root, "ldconfig")
	return root
}

// install adds packages to the system in the folder root.
func install(t *testing.T, client *packages.Client, root, arch string, wanted, ignore []string) {
	t.Helper()
	s, err := openDeb(os.DirFS(root), arch)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Choose(t.Context(), client, wanted)
	if err != nil {
		t.Fatal(err)
	}
	unpackInto(t, client, s, root, list, wanted, ignore)
}

func unpackInto(t *testing.T, client *packages.Client, s *debSystem, root string, list []packages.Package, wanted, ignore []string) {
	t.Helper()
	c, err := packages.NewContents(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s.Install(t.Context(), client, list, wanted, ignore, c); err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Entries() {
		at := root + e.Path
		if info, err := os.Stat(at); e.Type == tar.TypeDir && err == nil && info.IsDir() {
			continue
		}
		switch e.Type {
		case tar.TypeDir:
			err = os.MkdirAll(at, 0o755)
		case tar.TypeReg:
			write(t, at, c.Open(e), e.Mode)
		case tar.TypeSymlink:
			os.Remove(at)
			err = os.Symlink(e.Link, at)
		case tar.TypeLink:
			os.Remove(at)
			err = os.Link(root+e.Link, at)
		case packages.Removed:
			err = os.Remove(at)
		}
		if err == nil {
			err = os.Lchown(at, e.UID, e.GID)
		}
		if err == nil && (e.Type == tar.TypeReg || e.Type == tar.TypeDir) {
			err = syscall.Chmod(at, uint32(e.Mode)) // os.Chmod writes the sticky bit otherwise
		}
		for name, value := range e.Xattrs {
			err = syscall.Setxattr(at, name, value, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, at string, r io.Reader, mode int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(at)
	f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_EXCL, fs.FileMode(mode&0o777))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, r); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, at string) string {
	t.Helper()
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// run runs a command, in a root of its own if that isn't empty, and returns
// what it prints.
func run(t *testing.T, root, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	if root != "" {
		// A shell, because the command's name is looked up there.
		cmd = exec.CommandContext(t.Context(), "chroot", append([]string{root, "/bin/sh", "-c", `exec "$0" $*`, name}, args...)...)
		if len(args) > 1 && args[0] == "-c" {
			cmd = exec.CommandContext(t.Context(), "chroot", append([]string{root, "/usr/bin/" + name}, args...)...)
		}
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, said.Bytes())
	}
	return string(out)
}

// files lists what is below root: type, mode, owner, and where links lead. Left
// out is what Debian's programs make for themselves.
func files(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p := strings.TrimPrefix(at, root)
		for _, own := range []string{"/dev", "/tmp", "/var/cache", "/var/log", "/var/lib/apt/lists", "/etc/ld.so.cache", "/var/lib/dpkg/lock", "/var/lib/dpkg/triggers/Lock",
			"/var/lib/dpkg/triggers/Unincorp", "/var/lib/dpkg/status-old", "/var/lib/python", "/var/cache/debconf", "/var/lib/dpkg/diversions-old", "/var/lib/shells.state", "/etc/shells"} {
			if p == own {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		if d.Name() == "__pycache__" {
			return fs.SkipDir
		}
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		link, _ := os.Readlink(at)
		size := info.Size()
		if !info.Mode().IsRegular() || strings.HasPrefix(p, "/var/lib/") || p == "/etc/ca-certificates.conf" { // whose comments we don't write
			size = 0
		}
		all = append(all, fmt.Sprintf("%s %v %d:%d %d %s", p, info.Mode(), st.Uid, st.Gid, size, link))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// difference lists the lines that only one has.
func difference(theirs, ours []string) string {
	var b strings.Builder
	for _, l := range theirs {
		if !slices.Contains(ours, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range ours {
		if !slices.Contains(theirs, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}
