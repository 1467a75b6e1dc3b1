package buildlib

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	facts := Facts{
		Version: "v1.2.3", Revision: "0123456789abcdef", ShortRevision: "0123456789ab", Tag: "v1.2.3", Dirty: true,
		Date: "2025-06-15T15:06:40Z", Platform: "linux/arm/v7", OS: "linux", Arch: "arm", Variant: "v7",
	}
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"plain } text", "plain } text"},
		{"{{.Version}} {{.Revision}} {{.ShortRevision}} {{.Tag}} {{.Dirty}} {{.Date}}", "v1.2.3 0123456789abcdef 0123456789ab v1.2.3 true 2025-06-15T15:06:40Z"},
		{"{{.Platform}} {{.OS}} {{.Arch}} {{.Variant}}", "linux/arm/v7 linux arm v7"},
		{`{{.Version | trimPrefix "v"}}`, "1.2.3"},
		{`{{trimPrefix "x" .Version}}`, "v1.2.3"},
		{`{{.Version | replace "." "-"}}`, "v1-2-3"},
		{`{{lower "ACME"}}`, "acme"},
		{"{{if .Dirty}}dirty{{else}}clean{{end}}", "dirty"},
		{"{{slice .Revision 0 7}}", "0123456"},
		{`{{printf "%s-%s" .OS .Arch}}`, "linux-arm"},
		{quote("a {{ brace"), "a {{ brace"},
		{`--format={{"{{"}}.Names}}`, "--format={{.Names}}"},
		{quote(`{{"quoted"}}`), `{{"quoted"}}`},
	} {
		got, err := render(tt.text, facts)
		if err != nil || got != tt.want {
			t.Errorf("%s renders %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

// What a template may see depends on where it is.
func TestRenderErrors(t *testing.T) {
	const (
		theFacts     = "(the facts are .Version .Major"
		theFunctions = "(the functions are text/template's and lower, replace, trimPrefix)"
		allPlatforms = "(a version, its tags and repositories are the same on every platform; PlatformTags are not)"
	)
	f := Facts{Version: "v1"}
	for _, tt := range []struct {
		text  string
		facts any
		want  string
	}{
		{"{{.Nope}}", f, theFacts},
		{"{{.version}}", f, theFacts},
		{"{{.Version", f, theFacts},
		{"{{end}}", f, theFacts},
		{"{{.Version | upper}}", f, theFunctions},
		{"{{env \"HOME\"}}", f, theFunctions},
		{"{{.Platform}}", f.platformless(), allPlatforms},
		{"{{.OS}}", f.platformless(), allPlatforms},
		{"{{.Arch}}", f.versionless(), allPlatforms},
		{"{{.Variant}}", f.versionless(), allPlatforms},
		{"{{.Version}}", f.versionless(), "(the version can't depend on itself)"},
		{"{{.Major}}", f.versionless(), "(the version can't depend on itself)"},
		{"{{.IsRelease}}", f.versionless(), "(the version can't depend on itself)"},
		{"{{.Names}}", f, `{{"{{"}} is {{ itself)`},
	} {
		got, err := render(tt.text, tt.facts)
		if err == nil {
			t.Errorf("%s renders %q", tt.text, got)
			continue
		}
		// The text that is wrong, and what would be right.
		if !strings.HasPrefix(err.Error(), `template "`) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %s", tt.text, err, tt.want)
		}
	}
}

// Ldflags, Tags and Flags that render empty are as if they weren't there.
func TestGoBuildRenders(t *testing.T) {
	b := GoBuild{
		Ldflags: "-X main.version={{.Version}}", Tags: []string{"{{.OS}}only", "{{if .Dirty}}dirty{{end}}"},
		Flags: []string{"{{if eq .Arch \"arm\"}}-gcflags=-spectre={{end}}", "-v"}, Env: []string{"GOEXPERIMENT={{.Arch}}", "{{if .Dirty}}A=b{{end}}"},
	}
	got, err := b.render(Facts{Version: "1.0", OS: "linux", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := "-trimpath -buildvcs=false -tags=linuxonly -ldflags=-X main.version=1.0 -v"
	if args := strings.Join(got.args(), " "); args != want {
		t.Errorf("go build %s, want %s", args, want)
	}
	if env := got.environ(Platform{"linux", "amd64", ""}); !slices.Contains(env, "GOARCH=amd64") || env[0] != "GOEXPERIMENT=amd64" {
		t.Errorf("the environment is %q", env)
	}
	if args := strings.Join(GoBuild{}.args(), " "); args != "-trimpath -buildvcs=false" {
		t.Errorf("go build %s: -ldflags or -tags though none were set", args)
	}
}

func TestGoBuildOver(t *testing.T) {
	base := GoBuild{Tags: []string{"a"}, Ldflags: "-s", Flags: []string{"-v"}, Env: []string{"A=b"}, CGO: CGO{CC: "gcc", CXX: "g++"}}
	for _, tt := range []struct {
		name       string
		over, want GoBuild
	}{
		{"nothing set", GoBuild{}, base},
		{"all set", GoBuild{[]string{"x"}, "-w", []string{"-x"}, []string{"C=d"}, CGO{CC: "cc"}}, GoBuild{[]string{"x"}, "-w", []string{"-x"}, []string{"C=d"}, CGO{CC: "cc"}}},
		{"one set", GoBuild{Ldflags: "-w"}, GoBuild{base.Tags, "-w", base.Flags, base.Env, base.CGO}},
		{"emptied", GoBuild{Tags: []string{}, Env: []string{}, CGO: CGO{CC: "off"}}, GoBuild{[]string{}, base.Ldflags, base.Flags, []string{}, CGO{CC: "off"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.over.withDefaults(base); got.key() != tt.want.key() {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// What a version says, alone and between two.
func TestFactsOfVersion(t *testing.T) {
	for _, tt := range []struct {
		version string
		dirty   bool
		want    string
	}{
		{"v1.2.3", false, "1 2 3  true"},
		{"1.2.3", false, "1 2 3  true"},
		{"v1.2.3+build.5", false, "1 2 3  true"},
		{"v1.2.3-rc.1", false, "1 2 3 rc.1 false"},
		{"v1.2.3-dirty", true, "1 2 3  false"},
		{"1.2.3", true, "1 2 3  false"}, // given
		{"v1.2.3-4-g0123456789ab", false, "1 2 3  false"},
		{"v1.2.3-4-g0123456789ab-dirty", true, "1 2 3  false"},
		{"v1.2.3-rc.1-4-g0123456789ab", false, "1 2 3 rc.1 false"},
		{"v1.2", false, "1 2   true"},
		{"v1", false, "1    true"},
		{"0123456789ab", false, "    false"},
		{"012345678901", false, "    false"},
		{"dev", false, "    false"},
	} {
		f := Facts{Version: tt.version, Dirty: tt.dirty}
		f.parse("")
		got, err := render("{{.Major}} {{.Minor}} {{.Patch}} {{.Prerelease}} {{.IsRelease}}", f.platformless())
		if err != nil || got != tt.want {
			t.Errorf("%s says %q, %v, want %q", tt.version, got, err, tt.want)
		}
	}
}

// A fact is rendered wherever it may stand in an image, for each platform, and
// what renders empty is as if it weren't there.
func TestTemplatesOfAnImage(t *testing.T) {
	dir := project(t, oneMain())
	p := plan(t, dir, Project{
		Version: "v1.2.3", Platforms: []string{"linux/amd64", "linux/arm/v6"}, Registries: []string{"ghcr.io/v{{.Major}}", "{{if .Prerelease}}quay.io/x{{end}}"},
		Tags:     []string{"{{.Major}}.{{.Minor}}", "{{if .Dirty}}latest{{end}}"},
		Go:       GoBuild{Env: []string{"A={{.Arch}}", "{{if .Variant}}B={{.Variant}}{{end}}"}},
		Binaries: []Binary{{Name: "server", Path: "{{if eq .Arch \"arm\"}}/arm/server{{end}}"}},
		Images: []Image{{
			Name: "server", Repository: "server-v{{.Major}}", BinDir: "/opt/{{.Version}}", WorkDir: "/srv/{{.Arch}}/", Volumes: []string{"/data/{{.Arch}}", "{{if .Variant}}/v{{end}}"},
			Entrypoint: []string{"/{{.OS}}"}, Cmd: []string{`--format={{"{{"}}.Names}}`, "", "{{.Variant}}"}, Env: []string{"APP_VERSION={{.Version}}", "{{.Variant}}{{if .Variant}}=1{{end}}"},
			Ports: []string{"{{if .IsRelease}}80{{end}}"}, Files: []File{{Path: "/f/{{.Arch}}/"}}, Labels: map[string]string{"a": "{{.Patch}}"},
		}},
	}, Overrides{})
	ip := p.ImagePlans[0]
	if got := fmt.Sprint(ip.Repositories, ip.Tags); got != "[ghcr.io/v1/server-v1] [1.2]" {
		t.Errorf("image %s", got)
	}
	for i, want := range []string{
		`/srv/amd64 ["/linux"] ["--format={{.Names}}" ""] ["APP_VERSION=v1.2.3"] ["80/tcp"] ["/data/amd64"] /f/amd64/ 3 /opt/v1.2.3/server ["A=amd64"]`,
		`/srv/arm ["/linux"] ["--format={{.Names}}" "" "v6"] ["APP_VERSION=v1.2.3" "v6=1"] ["80/tcp"] ["/data/arm" "/v"] /f/arm/ 3 /arm/server ["A=arm" "B=v6"]`,
	} {
		pp, env := ip.Platforms[i], p.Compiles[i].Env
		got := fmt.Sprintf("%s %q %q %q %q %q %s %s %s %q", pp.Config.WorkingDir, pp.Config.Entrypoint, pp.Config.Cmd, pp.Config.Env, slices.Sorted(maps.Keys(pp.Config.ExposedPorts)), slices.Sorted(maps.Keys(pp.Config.Volumes)),
			pp.Files[0].Path, pp.Config.Labels["a"], pp.Binaries[0].Path, env[:1+i])
		if got != want {
			t.Errorf("%s: %s\nwant %s", pp.Platform, got, want)
		}
	}
}
