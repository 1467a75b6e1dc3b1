//go:build mage

package main

import (
	"cmp"
	"os"

	"github.com/multimage/multimage/buildlib"
	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	// Where Docker Hub can't be reached, another base of alpine's shape does.
	base := cmp.Or(os.Getenv("SERVICES_BASE"), "alpine:3.24")

	targets.Project = buildlib.Project{
		Platforms: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"},
		Tags:      []string{"{{.Version}}", "latest"},
		Go:        buildlib.GoBuild{Ldflags: "-X main.version={{.Version}}"},
		Labels:    map[string]string{"org.opencontainers.image.licenses": "Apache-2.0"},
		Render:    []buildlib.Render{{Template: "deploy/values.yaml.tmpl", Output: "dist/deploy/values.yaml"}},
		Images: []buildlib.Image{
			{
				Name: "apiserver", Base: base,
				User:  buildlib.User{Name: "apiserver", UID: 1000},
				Ports: []string{"8080"}, Cmd: []string{"--port=8080"},
			},
			{
				Name: "router", Base: base,
				User:  buildlib.User{Name: "router", UID: 1001},
				Ports: []string{"8000"}, Cmd: []string{"--port=8000", "--routes=/etc/router/routes.json"},
				Env:   []string{"GIN_MODE=release"},
				Files: []buildlib.File{{Source: "configs/routes.json", Path: "/etc/router/routes.json"}},
			},
			{
				Name: "agent", Base: base,
				User:  buildlib.User{Name: "agent", UID: 1002},
				Ports: []string{"9100"}, Cmd: []string{"--port=9100", "--interval=30s"},
				// Alpine has no time zones of its own.
				Env: []string{"TZ=Europe/Vienna"}, TZData: true,
			},
		},
	}
}
