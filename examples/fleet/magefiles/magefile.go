//go:build mage

// The targets of a project that CI builds on several machines: see the
// workflows in .github, .gitlab-ci.yml and release.sh.
package main

import (
	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	targets.Project = buildlib.Project{
		Registries: []string{"ghcr.io/acme", "docker.io/acme"},
		Platforms:  []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"},
		Tags:       []string{"{{.Version}}", "{{if .Tag}}latest{{end}}"},
		Go:         buildlib.GoBuild{Ldflags: "-X main.version={{.Version}}"},
		Images: []buildlib.Image{
			{Name: "gateway", Ports: []string{"8080"}},
			{Name: "worker", Binaries: []string{"worker", "fleetctl"}},
			{Name: "fleetctl"},
		},
		// Every platform can be built on any runner. These two have tests
		// that want their own processor; the others take what is free.
		Runners: map[string]string{
			"linux/amd64": "ubuntu-24.04",
			"linux/arm64": "ubuntu-24.04-arm",
		},
	}
}
