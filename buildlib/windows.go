package buildlib

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// windowsDir is the default BinDir in images for Windows.
const windowsDir = "/app"

// containerUser is the default user of images for Windows.
const containerUser = rootfs.ContainerUser

// windowsPath is the path of the binary in images for Windows: path, or by default one
// in dir. Windows only starts files whose names end in .exe.
func (b binary) windowsPath(at, dir string) string {
	at = cmp.Or(at, path.Join(cmp.Or(dir, windowsDir), b.Name))
	if !strings.EqualFold(path.Ext(at), ".exe") {
		at += ".exe"
	}
	return at
}

// windows adapts an image to Windows, and notes what it can't have there. Modes, owners,
// capabilities, certificates and stop signals exist only on Linux, and are left out.
func (r *resolver) windows(img draft, pp *PlatformPlan) {
	const example = `{{if eq .OS "windows"}}mcr.microsoft.com/windows/nanoserver:ltsc2022{{else}}scratch{{end}}`
	switch {
	case pp.Base == scratch:
		r.mistake(img.field+".Base", "an image for %s needs a base with Windows, not scratch: name one, like %s", pp.Platform, example)
	case strings.HasPrefix(pp.Base, fromDockerfile):
		r.mistake(img.field+".Base", "%s: a Dockerfile for Windows can't be built here: name a base from a registry for %s, like %s", pp.Base, pp.Platform, example)
	}
	if len(img.Packages) > 0 {
		r.mistake(img.field+".Packages", "%s has no packages of Linux distributions: put what it needs into its Base, or declare a separate image for it", pp.Platform)
	}
	if img.TZData {
		r.warn("image %s: TZData adds no time zones for %s: import time/tzdata in programs that need them", img.Name, pp.Platform)
	}
	pp.CACerts, pp.TZData, pp.Config.StopSignal = false, false, ""
	switch u := img.User; {
	case u == User{}: // the base's
	case u.Name == "root":
		pp.User = User{Name: "ContainerAdministrator"}
	default: // accounts can't be added
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
