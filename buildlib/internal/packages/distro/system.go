package distro

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// Manager is a base's package manager.
type Manager interface {
	// Choose returns the packages that have to be added to the base, sorted by
	// name, for those wanted (NAME or NAME=VERSION) to be installed: what they
	// depend on, without what they only recommend, in the newest versions that
	// fit. A base's package is replaced by a newer one where that is needed,
	// and never removed.
	Choose(ctx context.Context, client *packages.Client, wanted []string) ([]packages.Package, error)
	// Install puts the packages, which the client fetches, into the contents,
	// with the package manager's records and what their maintainer scripts
	// would do. Those in wanted are recorded as asked for; scripts of packages
	// in ignore are passed over.
	Install(ctx context.Context, client *packages.Client, list []packages.Package, wanted, ignore []string, to *packages.Contents) error
}

// ErrNone is the error of a base without apt or apk.
var ErrNone = errors.New("there is no known package manager: Packages need a base with apt (Debian, Ubuntu) or apk (Alpine)")

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
		return nil, errors.New("has Debian packages but no package manager, as distroless images do: choose a base that has apt, like debian:12-slim")
	}
	return nil, ErrNone
}
