//go:build mage

// The targets of multimage's own repository: those of the library, for the
// example hello.
package main

import (
	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	targets.Project = buildlib.Project{
		Dir:    "examples/hello",
		Output: "../../dist",
		Go:     buildlib.GoBuild{Ldflags: "-X main.version={{.Version}}"},
		Images: []buildlib.Image{{Name: "hello", Ports: []string{"8080"}}},
	}
}
