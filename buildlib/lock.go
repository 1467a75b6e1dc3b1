package buildlib

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// readLocks reads the module's lock file, which may be missing.
func readLocks(dir string) ([]packages.Lock, error) {
	text, err := os.ReadFile(filepath.Join(dir, packages.LockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return packages.ParseLocks(string(text))
}

// lockOf returns the entry for an image and a platform, nil if there is none.
func lockOf(locks []packages.Lock, image string, p Platform) *PackageLock {
	for _, l := range locks {
		if l.Image == image && l.Platform == p.String() {
			lock := &PackageLock{Base: l.Base, Digest: l.Digest, Wanted: l.Wanted}
			for _, p := range l.Packages {
				lock.Packages = append(lock.Packages, LockedPackage(p))
			}
			return lock
		}
	}
	return nil
}

// packages resolves an image's Packages on a platform.
func (r *resolver) packages(img draft, pp *PlatformPlan) {
	pp.Packages, pp.IgnoreScripts = img.Packages, img.IgnoreScripts
	if len(pp.Packages) == 0 {
		return
	}
	field := img.field + ".Packages"
	for i, name := range pp.Packages {
		if name == "" || strings.ContainsAny(name, " \t\n#") {
			r.mistake(fmt.Sprintf("%s[%d]", field, i), "%q is not the name of a package: write NAME or NAME=VERSION", name)
		}
	}
	for _, twice := range duplicates(pp.Packages) {
		r.mistake(field, "%s is named twice", twice)
	}
	if pp.Base == scratch {
		r.mistake(field, "an image from scratch has no package manager: set Base to an image with one, like debian:12-slim")
		return
	}
	locks, err := readLocks(r.plan.Dir)
	if err != nil {
		r.note(err)
		return
	}
	pp.Lock = lockOf(locks, img.Name, pp.Platform)
}
