package distro

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// apkSystem is a base whose packages apk manages.
type apkSystem struct {
	base      fs.FS
	arch      string
	folder    string // of its database
	installed map[string]*pkg
}

// apkFolders are where the database may be: since Alpine 3.23 below /usr.
var apkFolders = []string{"lib/apk/db", "usr/lib/apk/db"}

// apkArch returns Alpine's name of a platform; empty: it has none.
func apkArch(arch, variant string) string {
	switch arch {
	case "arm":
		if variant == "v5" || variant == "v6" {
			return "armhf"
		}
		return "armv7"
	case "loong64":
		return "loongarch64"
	}
	return map[string]string{"amd64": "x86_64", "386": "x86", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}[arch]
}

func openApk(base fs.FS, folder, arch string) (*apkSystem, error) {
	s := &apkSystem{base: base, arch: arch, folder: folder, installed: map[string]*pkg{}}
	f, err := base.Open(folder + "/installed")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = eachApkEntry(f, func(lines []string) error {
		p, err := newApk(lines)
		if err != nil {
			return err
		}
		s.installed[p.name] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("base: /%s/installed: %w", folder, err)
	}
	return s, nil
}

// Choose implements Manager. An index of Alpine's has no SHA-256, so packages
// are fetched to be checked.
func (s *apkSystem) Choose(ctx context.Context, client *packages.Client, wanted []string) ([]packages.Package, error) {
	u, err := s.universe(ctx, client)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(u, s.installed, wanted)
	if err != nil {
		return nil, err
	}
	for _, p := range chosen {
		if err := s.checksum(ctx, client, p); err != nil {
			return nil, fmt.Errorf("package %s: %w", p, err)
		}
	}
	return locked(chosen), nil
}

// checksum finds the SHA-256 of a package whose control part is what the index
// says, and whose data are what that says.
func (s *apkSystem) checksum(ctx context.Context, client *packages.Client, p *pkg) error {
	var kept struct{ SHA256 string }
	if client.Cache.Load("apk", p.url+" "+p.checksum, &kept) {
		p.sha256 = kept.SHA256
		return nil
	}
	data, err := client.Read(ctx, p.url, maxApk)
	if err != nil {
		return err
	}
	a, err := splitApk(data)
	if err != nil {
		return err
	}
	if a.sum != p.checksum || int64(len(data)) != p.size {
		return fmt.Errorf("%s is not what the index describes (it has the checksum %s and %d bytes, and should have %s and %d)", p.url, a.sum, len(data), p.checksum, p.size)
	}
	sum := sha256.Sum256(data)
	p.sha256 = hex.EncodeToString(sum[:])
	kept.SHA256 = p.sha256
	client.Cache.Save("apk", p.url+" "+p.checksum, kept)
	return nil
}

// maxApk bounds a package, which is read as a whole.
const maxApk = 1 << 30

// Manager is a base's package manager.
type Manager interface {
	// Choose returns the packages that have to be added to the base, sorted by
	// name, for those wanted (NAME or NAME=VERSION) to be installed: what they
	// depend on, without what they only recommend, in the newest versions that
	// fit. A base's package is replaced by a newer one where that is needed,
	// and never removed.
	Choose(ctx context.Context, client *packages.Client, wanted []string) ([]packages.Package, error)
	// Install puts the packages, which are fetched by the client, into the
	// contents, with what the package manager would write of them and what
	// is known of their maintainer scripts. Those wanted were asked for;
	// scripts of packages in ignore are passed over.
	Install(ctx context.Context, client *packages.Client, list []packages.Package, wanted, ignore []string, to *packages.Contents) error
}

// ErrNone is the error of a base that has no package manager that is known.
var ErrNone = errors.New("there is no package manager that is known: Packages need a base with apt (Debian, Ubuntu) or apk (Alpine)")

// Folders are where Open and what it returns look in the base.
var Folders = []string{"/etc", "/lib/apk", "/usr/lib/apk", "/var/lib/dpkg", "/var/lib/apt/extended_states", "/usr/share/keyrings", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}

// Open finds the package manager of a base of that platform.
func Open(base fs.FS, arch, variant string) (Manager, error) {
	has := func(name string) bool { _, err := fs.Stat(base, name); return err == nil }
	if has(statusPath) {
		if name := debArch(arch, variant); name != "" {
			return openDeb(base, name)
		}
		return nil, fmt.Errorf("Debian has no architecture for %s", arch)
	}
	for _, folder := range apkFolders {
		if name := apkArch(arch, variant); has(folder+"/installed") && name != "" {
			return openApk(base, folder, name)
		}
	}
	if has("var/lib/dpkg/status.d") {
		return nil, errors.New("has packages of Debian's and no package manager, as distroless images do: choose a base that has apt, like debian:12-slim")
	}
	return nil, ErrNone
}

// locked lists packages as a lock has them.
func locked(chosen []*pkg) []packages.Package {
	var list []packages.Package
	for _, p := range chosen {
		list = append(list, p.locked())
	}
	slices.SortFunc(list, func(a, b packages.Package) int { return strings.Compare(a.Name, b.Name) })
	return list
}
