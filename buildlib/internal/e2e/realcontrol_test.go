package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// installed is what a base of Debian's has of dpkg's database, as far as Python
// asks for it.
const installed = `Package: dpkg
Status: install ok installed
Architecture: all
Version: 1.21.22

Package: debconf
Status: install ok installed
Architecture: all
Version: 1.5.82
`

// debianBase is a base that has nearly no package, and whose apt takes them from
// where this machine's does. Its shell is busybox.
func debianBase(t *testing.T) testenv.Base {
	t.Helper()
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	base := testenv.Alpine(t)
	base.Merged = true
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// One stanza or line after the other; those of security updates cost a
			// list more, and not every mirror has them for all platforms.
			var kept []string
			end := map[bool]string{true: "\n\n", false: "\n"}[strings.HasSuffix(file, ".sources")]
			for source := range strings.SplitSeq(string(data), end) {
				if strings.Contains(source, keyring) && !strings.Contains(source, "-security") {
					kept = append(kept, source)
				}
			}
			if len(kept) > 0 {
				base.Entries = append(base.Entries, testenv.File(file[1:], 0o644, strings.Join(kept, end)+"\n"))
			}
		}
	}
	keys, err := os.ReadFile(keyring)
	if len(base.Entries) == 0 || err != nil {
		testenv.Missing(t, "apt", "this machine's apt has no source that is signed by "+keyring)
	}
	base.Entries = append(base.Entries, testenv.File(keyring[1:], 0o644, string(keys)), testenv.File("var/lib/dpkg/status", 0o644, installed))
	return base
}

// TestControl locks and publishes examples/control on a base of Debian's. Its Smoke
// has the daemon run Python with what it imports, on each platform.
func TestControl(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "gpgv", "xz")
	base := debianBase(t)
	testenv.Binfmt(t)
	registry := testenv.Registry(t, testenv.RegistryOptions{}).Host
	testenv.Push(t, registry+"/library/debian:12", base.Index(t))
	platforms := cmp.Or(os.Getenv("TEST_PLATFORMS"), strings.Join(allPlatforms, ","))
	e := newExample(t, "control", filepath.Join(t.TempDir(), "control"))
	e.env = append(e.env, "CONTROL_BASE="+registry+"/library/debian:12", "MULTIMAGE_REGISTRIES="+registry+"/acme", "MULTIMAGE_PLATFORMS="+platforms)
	magefile := filepath.Join(e.dir, "magefiles", "magefile.go")
	text, err := os.ReadFile(magefile)
	if err != nil {
		t.Fatal(err)
	}
	const images = "Images: []buildlib.Image{{"
	writeFile(t, magefile, strings.Replace(string(text), images, `Smoke: buildlib.SmokeTests{Unrunnable: "fail"}, `+images, 1))
	e.mage(t, "lock")
	e.commit(t)
	e.run(t, "git", "tag", "--force", "v1.2.3")
	lock, err := os.ReadFile(filepath.Join(e.dir, "multimage.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for platform := range strings.SplitSeq(platforms, ",") {
		arch := map[string]string{"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm/v7": "armhf"}[platform]
		if want := regexp.MustCompile(`(?m)^    python3\.\d+-minimal \S+ \d+ [0-9a-f]{64} http\S+_` + arch + `\.deb$`); !want.Match(lock) {
			t.Errorf("%s: no line of multimage.lock matches %s", platform, want)
		}
	}
	e.mage(t, "manifest")
	if made := e.images(t); len(made[0].Platforms) != strings.Count(platforms, ",")+1 {
		t.Errorf("published %+v", made)
	}
}
