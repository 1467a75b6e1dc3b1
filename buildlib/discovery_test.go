package buildlib

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mains are what a plan builds: platform and package.
func mains(p *Plan) []string {
	var all []string
	for _, c := range p.Compiles {
		for _, m := range c.Mains {
			all = append(all, c.Platform.String()+" "+strings.TrimPrefix(m.Package, "example.com/acme/"))
		}
	}
	return all
}

// With no Binaries, every main is found wherever a project keeps its own.
func TestDiscovery(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   files
		project Project
		want    []string
	}{
		{
			name:  "below cmd, and what isn't a main doesn't matter",
			files: files{"go.mod": goMod, "main.go": program, "cmd/a/main.go": program, "cmd/deep/b/main.go": program, "cmd/lib/lib.go": "package lib\n", "cmd/chart/values.yaml": "", "cmd/testdata/x/main.go": program, "cmd/_old/main.go": program},
			want:  []string{"linux/amd64 cmd/a", "linux/amd64 cmd/deep/b"},
		},
		{
			name:  "the root, where cmd has none",
			files: files{"go.mod": "module example.com/acme/tool\n", "main.go": program, "cmd/README": ""},
			want:  []string{"linux/amd64 tool"},
		},
		{
			name:  "cmd is a file",
			files: files{"go.mod": "module example.com/acme/tool\n", "main.go": program, "cmd": "a script"},
			want:  []string{"linux/amd64 tool"},
		},
		{
			name:    "in a workspace, those of the module in Dir",
			files:   files{"go.work": "go 1.24\n\nuse (\n\t./a\n\t./b\n)\n", "a/go.mod": "module example.com/acme/a\n\ngo 1.24\n", "a/cmd/x/main.go": strings.Replace(program, "package main", "package main\n\nimport _ \"example.com/acme/b\"", 1), "b/go.mod": "module example.com/acme/b\n\ngo 1.24\n", "b/b.go": "package b\n", "b/cmd/y/main.go": program},
			project: Project{Dir: "a"},
			want:    []string{"linux/amd64 a/cmd/x"},
		},
		{
			name: "vendored",
			files: files{
				"go.mod":             "module example.com/acme\n\ngo 1.24\n\nrequire example.com/lib v1.0.0\n",
				"vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit; go 1.24\nexample.com/lib\n", "vendor/example.com/lib/lib.go": "package lib\n",
				"cmd/x/main.go": strings.Replace(program, "package main", "package main\n\nimport _ \"example.com/lib\"", 1),
			},
			want: []string{"linux/amd64 cmd/x"},
		},
		{
			name:    "two of one name, each for platforms of its own",
			files:   files{"go.mod": goMod, "cmd/a/tool/main.go": "//go:build amd64\n\n" + program, "cmd/b/tool/main.go": "//go:build arm64\n\n" + program},
			project: Project{Platforms: []string{"linux/amd64", "linux/arm64"}},
			want:    []string{"linux/amd64 cmd/a/tool", "linux/arm64 cmd/b/tool"},
		},
		{
			name:    "with the project's build tags",
			files:   files{"go.mod": goMod, "cmd/a/main.go": program, "cmd/pro/main.go": "//go:build pro\n\n" + program},
			project: Project{Go: GoBuild{Tags: []string{"pro"}}},
			want:    []string{"linux/amd64 cmd/a", "linux/amd64 cmd/pro"},
		},
		{
			name:    "per platform",
			files:   files{"go.mod": goMod, "cmd/a/main.go": program, "cmd/tray/main_windows.go": program, "cmd/epoll/main_linux.go": program},
			project: Project{Platforms: []string{"linux/arm64", "windows/amd64"}},
			want:    []string{"linux/arm64 cmd/a", "linux/arm64 cmd/epoll", "windows/amd64 cmd/a", "windows/amd64 cmd/tray"},
		},
		{
			name:    "one for another platform, with a test for all",
			files:   files{"go.mod": goMod, "cmd/a/main.go": program, "cmd/tray/main_windows.go": program, "cmd/tray/tray_test.go": "package main\n"},
			project: Project{Platforms: []string{"linux/amd64", "windows/amd64"}},
			want:    []string{"linux/amd64 cmd/a", "windows/amd64 cmd/a", "windows/amd64 cmd/tray"},
		},
		{
			name:  "a library that needs cgo",
			files: files{"go.mod": goMod, "cmd/a/main.go": program, "cmd/internal/native/native.go": "package native\n\nimport \"C\"\n"},
			want:  []string{"linux/amd64 cmd/a"},
		},
		{
			name:  "one that has cgo on the side",
			files: files{"go.mod": goMod, "cmd/a/main.go": program, "cmd/a/fast.go": "package main\n\nimport \"C\"\n"},
			want:  []string{"linux/amd64 cmd/a"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, tt.files)
			if tt.project.Platforms == nil {
				tt.project.Platforms = []string{"linux/amd64"}
			}
			p := plan(t, dir, tt.project, Overrides{})
			if got := mains(p.Plan); !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
			if p.Output != filepath.Join(dir, tt.project.Dir, "dist") {
				t.Errorf("output is %s", p.Output)
			}
		})
	}
}

// A main that needs cgo must not go missing without a word.
func TestDiscoveryOfCgo(t *testing.T) {
	for name, test := range map[string]string{"without tests": "", "with tests": "package main\n"} {
		f := oneMain()
		f["cmd/sqlite/main_linux.go"] = "package main\n\nimport \"C\"\n\nfunc main() {}\n"
		if test != "" {
			f["cmd/sqlite/main_test.go"] = test
		}
		dir := project(t, f)
		for _, p := range []Project{{}, {Binaries: []Binary{{Name: "sqlite"}}}} {
			got := mistakes(t, dir, p, Overrides{})
			if !strings.HasPrefix(got[0], "Binaries") || !strings.Contains(got[0], "cmd/sqlite: ") || !strings.Contains(got[0], "needs cgo (main_linux.go imports \"C\")") {
				t.Errorf("%s: mistakes %q", name, got)
			}
		}
	}
}
