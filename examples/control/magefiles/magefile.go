//go:build mage

package main

import (
	"cmp"
	"os"

	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

// A Go daemon and the Python that it runs, for three platforms. Packages are
// chosen first:
//
//	go tool mage lock images
//
// In a project of yours, commit multimage.lock, and pin the base by digest. Here
// neither is done: the tag moves every few weeks, distributions drop old packages,
// and an example has nobody to update it.
func init() {
	targets.Project = buildlib.Project{
		Platforms: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"},
		Tags:      []string{"{{.Version}}", "latest"},
		Go:        buildlib.GoBuild{Ldflags: "-X main.version={{.Version}}"},
		Images: []buildlib.Image{{
			Name: "control",
			// Where Docker Hub can't be reached, another base of Debian's or Ubuntu's does.
			Base:     cmp.Or(os.Getenv("CONTROL_BASE"), "debian:12-slim"),
			Packages: []string{"python3", "ca-certificates"},
			User:     buildlib.User{Name: "control"},
			Files:    []buildlib.File{{Source: "scripts/place.py", Path: "/usr/share/control/"}},
			Ports:    []string{"8080"},
			// Before tags move, the daemon runs the script once on each platform.
			Smoke: []string{"--check"},
		}},
	}
}
