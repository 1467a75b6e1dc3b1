//go:build mage

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
		// Cross-compiling needs no runner of the platform. Arm's is there for
		// the tests that run before.
		Runners: map[string]string{"linux/arm64": "ubuntu-24.04-arm"},
		// Commits between two releases get a version, but don't become latest.
		Tags: []string{"{{.Version}}", "{{if .Tag}}latest{{end}}"},
		Go:   buildlib.GoBuild{Ldflags: "-s -w -X main.version={{.Version}}"},
		Images: []buildlib.Image{
			{Name: "hub", Binaries: []string{"hub", "fleetctl"}, Ports: []string{"8080"}},
			{Name: "device"},
			{Name: "fleetctl"},
		},
	}
}
