package buildlib

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// Each project is resolved, and what mage plan prints and the data compared
// with testdata/plan/NAME.golden.
func TestPlan(t *testing.T) {
	t.Setenv("GITHUB_ACTIONS", "") // which would be who builds
	t.Setenv("GITLAB_CI", "")
	for _, tt := range []struct {
		name    string
		files   files
		tags    []string // git's; nil: no git
		project Project
		over    Overrides
	}{
		{
			name: "zero",
			files: files{
				"go.mod":               goMod,
				"cmd/server/main.go":   program,
				"cmd/migrate/main.go":  program,
				"cmd/README.md":        "not Go",
				"cmd/charts/values":    "not Go either",
				"cmd/internal/lib.go":  "package internal\n",
				"cmd/tray/main.go":     "//go:build windows\n\n" + program,
				"cmd/epoll/main.go":    "//go:build linux && amd64\n\n" + program,
				"cmd/server/x_test.go": "package main\n",
			},
		},
		{
			name:  "root",
			files: files{"go.mod": "module example.com/acme/v2\n\ngo 1.24\n", "main.go": program, "cmd/lib/lib.go": "package lib\n"},
			tags:  []string{"v2.0.0-rc.1+build.5"},
		},
		{
			name: "monorepo",
			files: files{
				"go.mod":                     goMod,
				"svc/go.mod":                 "module example.com/acme/svc\n\ngo 1.24\n",
				"svc/cmd/apiserver/main.go":  program,
				"svc/cmd/router/main.go":     program,
				"svc/cmd/agent/main.go":      program,
				"svc/cmd/agentctl/main.go":   program,
				"svc/configs/routes.json":    "{}",
				"svc/assets/amd64/model.bin": "", "svc/assets/arm64/model.bin": "",
			},
			tags: []string{"v9.9.9", "svc/v1.2.0"},
			project: Project{
				Dir:        "svc",
				Output:     "out",
				Registries: []string{"ghcr.io/acme", "registry.example.com:5000/team/"},
				Insecure:   []string{"registry.example.com:5000"},
				Platforms:  []string{"linux/amd64", "linux/arm64"},
				Tags:       []string{"{{.Version}}", `{{.Version | trimPrefix "v"}}`, "{{if not .Dirty}}latest{{end}}", "{{if .Dirty}}dirty{{end}}"},
				Go:         GoBuild{Ldflags: "-s -w -X main.version={{.Version}}", Tags: []string{"netgo"}},
				Labels:     map[string]string{"com.example.team": "core", "org.opencontainers.image.licenses": "Apache-2.0"},
				Binaries: []Binary{
					{Name: "apiserver"},
					{Package: "./cmd/router"},
					{Name: "agent"},
					{Name: "agentctl", Path: "/usr/bin/agentctl", Go: GoBuild{Flags: []string{"-gcflags=-N -l"}, Env: []string{"GOEXPERIMENT=jsonv2"}}},
				},
				Images: []Image{
					{
						Name: "apiserver", Base: "alpine:3.24",
						User: User{Name: "api", UID: 1000}, Ports: []string{"8443", "9000-9010/udp"}, Cmd: []string{"--port=8443", "--name=the api"},
						Env: []string{"GOMEMLIMIT=512MiB"}, WorkDir: "/srv/", Volumes: []string{"/srv/data"}, StopSignal: "SIGQUIT",
						Labels: map[string]string{"com.example.arch": "{{.Arch}}", "com.example.team": "api"}, CACerts: true,
					},
					{
						Name: "router", Base: "gcr.io/distroless/static:nonroot-{{.Arch}}", BinDir: "/app", BaseCommand: true,
						Files: []File{
							{Source: "configs", Path: "/etc/router", Mode: 0o640, UID: 10, GID: 20},
							{Source: "assets/{{.Arch}}/model.bin", Path: "/model.bin"},
							{Path: "/var/cache/router"},
						},
						Registries: []string{"docker.io/acme"}, Tags: []string{"edge"},
					},
					{Name: "team/agent", Binaries: []string{"agent", "agentctl"}, Base: "oci:bases/small", Entrypoint: []string{"/usr/local/bin/agent", "--quiet"}, Registries: []string{}},
				},
			},
		},
		{
			name:  "variants",
			files: oneMain(),
			project: Project{
				Version: "1.0",
				// In the spellings that people use.
				Platforms: []string{"linux/x86_64", "linux/amd64/v3", "linux/arm64/v8", "linux/arm", "linux/arm/v6", "linux/386", "linux/riscv64/rva22u64", "windows/amd64", "darwin/arm64"},
			},
		},
		{
			name: "sharedname",
			files: files{
				"go.mod":                   goMod,
				"public/server/main.go":    program,
				"internal/server/main.go":  program,
				"internal/server2/main.go": program,
			},
			project: Project{
				Binaries: []Binary{
					{Name: "front", Package: "./public/server"},
					{Name: "back", Package: "./internal/server"},
					{Name: "other", Package: "example.com/acme/internal/server2", Platforms: []string{"linux/arm64", "freebsd/amd64"}},
				},
			},
		},
		{
			name: "overrides",
			files: files{
				"go.mod":             goMod,
				"cmd/server/main.go": program, "cmd/agent/main.go": program, "cmd/tool/main.go": program,
			},
			tags: []string{"v1.0.0"},
			project: Project{
				Registries: []string{"ghcr.io/acme"}, Tags: []string{"latest"}, Version: "1",
				Binaries: []Binary{{Name: "server"}, {Package: "./cmd/agent", Platforms: []string{"linux/amd64"}}, {Name: "tool", Platforms: []string{"linux/arm64", "linux/s390x"}}},
				Images: []Image{
					{Name: "server", Registries: []string{"quay.io/acme"}, Tags: []string{"mine"}},
					{Name: "agent"},
					{Name: "tool", Platforms: []string{"linux/s390x", "linux/arm64"}},
					{Name: "unwanted", Binaries: []string{"server"}},
				},
			},
			over: Overrides{
				Platforms: []string{"linux/arm64"}, Registries: []string{}, Tags: []string{"pr-7", "{{.ShortRevision}}"},
				Images: []string{"server", "agent", "tool"}, Version: "{{.Tag}}-ci", Output: "elsewhere",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, tt.files)
			if tt.tags != nil {
				commit(t, dir, tt.tags...)
			}
			p := plan(t, dir, tt.project, tt.over)
			portable := *p.Plan
			portable.Dir, portable.Output, portable.Cache, portable.BenchPlan = "", "", "", BenchPlan{}
			portable.Go.Root, portable.Go.Module, portable.Go.Workspace, portable.Go.ModCache = "", "", "", ""
			portable.Checkout.Folder = ""
			data, err := json.MarshalIndent(portable, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			text := p.String() + "\n" + string(data) + "\n"
			// Equal plans print equally everywhere, but for the fields of folders.
			if strings.Contains(text, dir) || strings.Contains(text, filepath.Dir(dir)) {
				t.Errorf("the plan names this machine's folder %s", dir)
			}
			golden(t, "plan/"+tt.name+".golden", strings.ReplaceAll(text, p.Go.Version, "go1.N"))
		})
	}
}
