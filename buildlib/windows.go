package buildlib

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// windowsDir is where binaries go in images for Windows, which have no
// /usr/local/bin.
const windowsDir = "/app"

// containerUser is whom an image for Windows runs as that nobody says more of.
const containerUser = rootfs.ContainerUser

// windowsPath is where the binary goes by default, or by Binary.Path, as which it is
// started: by a name that says so.
func (b binary) windowsPath(at, dir string) string {
	at = cmp.Or(at, path.Join(cmp.Or(dir, windowsDir), b.Name))
	if !strings.EqualFold(path.Ext(at), ".exe") {
		at += ".exe"
	}
	return at
}

// windows settles what is different in an image for Windows, and notes what can't be
// there. Modes, owners, capabilities, certificates and the signal that stops it are
// Linux's ways: Windows has its own, and they are left out.
func (r *resolver) windows(img draft, pp *PlatformPlan) {
	const example = `{{if eq .OS "windows"}}mcr.microsoft.com/windows/nanoserver:ltsc2022{{else}}scratch{{end}}`
	switch {
	case pp.Base == scratch:
		r.mistake(img.field+".Base", "an image for %s needs Windows below it, and not scratch: name a base for it, like %s", pp.Platform, example)
	case strings.HasPrefix(pp.Base, fromDockerfile):
		r.mistake(img.field+".Base", "%s: a Dockerfile for Windows can't be built here: name a base from a registry for %s, like %s", pp.Base, pp.Platform, example)
	}
	if len(img.Packages) > 0 {
		r.mistake(img.field+".Packages", "they are of Linux distributions, and %s has none: put what it needs into its Base, or make an image of its own for it", pp.Platform)
	}
	if img.TZData {
		r.warn("image %s: %s gets no time zones by TZData: import time/tzdata into its programs if they need them", img.Name, pp.Platform)
	}
	pp.CACerts, pp.TZData, pp.Config.StopSignal = false, false, ""
	switch u := img.User; {
	case u == User{}: // the base's
	case u.Name == "root":
		pp.User = User{Name: "ContainerAdministrator"}
	default: // no account can be added
		pp.User = User{Name: containerUser}
	}
	check := func(field, at string) {
		if err := rootfs.CheckWindowsPath(at); err != nil {
			r.mistake(img.field+field, "%s: %w", at, err)
		}
	}
	check(".WorkDir", pp.Config.WorkingDir)
	pp.Config.WorkingDir = pp.Platform.nativePath(pp.Config.WorkingDir)
	for i, v := range img.Volumes {
		check(fmt.Sprintf(".Volumes[%d]", i), v)
		img.Volumes[i] = pp.Platform.nativePath(v)
	}
	pp.Config.Volumes = set(img.Volumes)
	for i, f := range pp.Files {
		check(fmt.Sprintf(".Files[%d].Path", i), f.Path)
	}
	for _, b := range pp.Binaries {
		check(".Binaries", b.Path)
	}
}
