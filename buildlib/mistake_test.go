package buildlib

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// mistakes are the lines of what Plan says is wrong.
func mistakes(t *testing.T, dir string, p Project, o Overrides) []string {
	t.Helper()
	p.Dir = filepath.Join(dir, p.Dir)
	o.Cache = cmp.Or(strings.ReplaceAll(o.Cache, "DIR", dir), cache)
	resolved, err := p.Plan(t.Context(), o)
	if err == nil {
		t.Fatalf("no mistake was found; the plan is\n%s", resolved)
	}
	// Plan builds nothing, and least of all a wrong project.
	if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
		t.Error("there is a dist")
	}
	// The folder of the test is not what the tables look at.
	return strings.Split(strings.ReplaceAll(err.Error(), dir, "DIR"), "\n")
}

// server is the one image of oneMain, changed.
func server(change func(*Image)) Project {
	img := Image{Name: "server"}
	change(&img)
	return Project{Images: []Image{img}}
}

// Each mistake names the field, the value and the fix.
func TestMistakes(t *testing.T) {
	const theFacts = `(the facts are .Version .Major .Minor .Patch .Prerelease .IsRelease .IsLatest .Revision .ShortRevision .Tag .Branch .Dirty .Date .Platform .OS .Arch .Variant; {{"{{"}} is {{ itself)`
	const nameless = `use lower-case letters and digits, with . _ or - between (OCI distribution spec, "Pulling manifests")`
	for _, tt := range []struct {
		name    string
		files   files // over those of oneMain
		project Project
		over    Overrides
		want    string // one line each
	}{
		// Platforms
		{name: "misspelt platform", project: Project{Platforms: []string{"linux/amd46"}},
			want: `Platforms[0]: platform "linux/amd46": Go can't build for it (go tool dist list shows what it can); did you mean linux/amd64?`},
		{name: "misspelt system", project: Project{Platforms: []string{"linux/amd64", "linus/arm64"}},
			want: `Platforms[1]: platform "linus/arm64": Go can't build for it (go tool dist list shows what it can); did you mean linux/arm64?`},
		{name: "architecture alone", project: Project{Platforms: []string{"arm64"}},
			want: `Platforms[0]: platform "arm64": want OS/ARCH or OS/ARCH/VARIANT, like linux/arm64`},
		{name: "unknown variant", project: Project{Platforms: []string{"linux/arm/v4"}},
			want: `Platforms[0]: platform "linux/arm/v4": Go knows no variant "v4" of arm`},
		{name: "platform twice, in two spellings", project: Project{Platforms: []string{"linux/amd64", "linux/x86_64"}},
			want: `Platforms[1]: platform linux/amd64 is named twice`},
		{name: "version of a system", project: Project{Platforms: []string{"windows(10.0.17763)/amd64"}},
			want: `Platforms[0]: platform "windows(10.0.17763)/amd64": versions and features of an OS can't be chosen: go builds one binary for all`},
		{name: "misspelt platform in the environment", over: Overrides{Platforms: []string{"linux/amd46"}},
			want: `Overrides.Platforms[0]: platform "linux/amd46": Go can't build for it (go tool dist list shows what it can); did you mean linux/amd64?`},
		{name: "misspelt platform of a binary", project: Project{Binaries: []Binary{{Name: "server", Platforms: []string{"linux/riscv46"}}}},
			want: `Binaries[0].Platforms[0]: platform "linux/riscv46": Go can't build for it (go tool dist list shows what it can); did you mean linux/riscv64?`},
		{name: "misspelt platform of an image", project: server(func(i *Image) { i.Platforms = []string{"linux/s390"} }),
			want: `Images[0].Platforms[0]: platform "linux/s390": Go can't build for it (go tool dist list shows what it can); did you mean linux/s390x?`},
		{name: "image of another system", project: server(func(i *Image) { i.Platforms = []string{"darwin/arm64"} }),
			want: `Images[0].Platforms[0]: darwin/arm64: images are for linux and windows; binaries can be for darwin`},
		{name: "image for more than its binary", project: server(func(i *Image) { i.Platforms = []string{"linux/amd64", "linux/s390x"} }),
			want: `Images[0].Platforms[1]: binary server is not built for linux/s390x (only linux/amd64, linux/arm64): add it to the binary's or the Project's Platforms`},
		{name: "image without a common platform", files: files{"cmd/agent/main.go": program},
			project: Project{
				Binaries: []Binary{{Name: "server", Platforms: []string{"linux/amd64"}}, {Name: "agent", Platforms: []string{"linux/arm64"}}},
				Images:   []Image{{Name: "both", Binaries: []string{"server", "agent"}}},
			},
			want: `Images[0]: no linux platform has all its binaries (server, agent): set its Platforms, or the binaries'`},

		{name: "no platform", project: Project{Platforms: []string{}}, want: `Platforms: it is empty, so nothing would be built: name some, or leave it unset for linux/amd64, linux/arm64`},

		// Bench
		{name: "benchmark of nothing", project: Project{Bench: Bench{Runs: -1, Budget: -1, Tolerance: -1, Binaries: []string{"sever"}, Platforms: []string{"linux/s390x"}}},
			want: `Bench.Platforms[0]: linux/s390x is not one of the project's platforms (linux/amd64, linux/arm64)
Bench.Binaries[0]: there is no binary "sever"; did you mean server?
Bench.Runs: -1 is negative
Bench.Budget: -1ns is negative
Bench.Tolerance: -1 is not a percentage`},
		{name: "misspelt platform of the benchmark", project: Project{Bench: Bench{Platforms: []string{"linux/arm46"}}},
			want: `Bench.Platforms[0]: platform "linux/arm46": Go can't build for it (go tool dist list shows what it can); did you mean linux/arm?`},
		{name: "tolerance without a baseline", project: Project{Bench: Bench{Tolerance: 5}},
			want: `Bench.Tolerance: 5% of what? Name the file to compare with in Bench.Baseline or Overrides.Bench.Baseline`},

		// Packages
		{name: "no such package", project: Project{Binaries: []Binary{{Name: "sever"}}},
			want: `Binaries[0].Package: ./cmd/sever: stat DIR/cmd/sever: directory not found: name a main package of the module, like ./cmd/NAME`},
		{name: "not main", files: files{"lib/lib.go": "package lib\n"}, project: Project{Binaries: []Binary{{Package: "./lib"}}},
			want: `Binaries[0].Package: ./lib: is package lib, not main, so it makes no binary`},
		{name: "pattern", project: Project{Binaries: []Binary{{Package: "./cmd/..."}}},
			want: `Binaries[0].Package: "./cmd/..." is not one package: name it like ./cmd/NAME`},
		{name: "file", project: Project{Binaries: []Binary{{Package: "cmd/server/main.go"}}},
			want: `Binaries[0].Package: "cmd/server/main.go" is not one package: name it like ./cmd/NAME`},
		{name: "flag for a package", project: Project{Binaries: []Binary{{Package: "-toolexec=evil"}}},
			want: `Binaries[0].Package: "-toolexec=evil" is not one package: name it like ./cmd/NAME`},
		{name: "packages on scratch", project: Project{Images: []Image{{Name: "server", Packages: []string{"python3", "curl =1", "python3"}}}},
			want: `Images[0].Packages: python3 is named twice
Images[0].Packages: an image from scratch has no package manager: set Base to an image with one, like debian:12-slim
Images[0].Packages[1]: "curl =1" is not the name of a package: write NAME or NAME=VERSION`},
		{name: "empty binary", project: Project{Binaries: []Binary{{}}},
			want: `Binaries[0]: has neither Name nor Package: set one`},
		{name: "needs cgo", files: files{"cmd/sqlite/main.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"},
			project: Project{Binaries: []Binary{{Name: "sqlite", Platforms: []string{"linux/arm64"}}}},
			want:    `Binaries[0].Package: ./cmd/sqlite: linux/arm64: needs cgo (main.go imports "C"), and multimage compiles with CGO_ENABLED=0 so that every platform can be built anywhere, unless Go.CGO names C compilers`},
		{name: "needs cgo, found", files: files{"cmd/sqlite/main.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"},
			want: `Binaries: package example.com/acme/cmd/sqlite: needs cgo (main.go imports "C"), and multimage compiles with CGO_ENABLED=0 so that every platform can be built anywhere, unless Go.CGO names C compilers: name the binaries to build in Binaries to leave it out`},
		{name: "excluded on a platform", files: files{"cmd/epoll/main.go": "//go:build amd64\n\n" + program},
			project: Project{Binaries: []Binary{{Name: "epoll"}}},
			want:    `Binaries[0].Package: ./cmd/epoll: all its files are excluded on linux/arm64 by build constraints: set the binary's Platforms to those it is for`},
		{name: "no main at all", files: files{"cmd/server/main.go": "package server\n"},
			want: `Binaries: no main package under ./cmd or at the root of DIR for linux/amd64, linux/arm64: add one, or name it in Binaries`},
		{name: "two of one name", files: files{"cmd/b/server/main.go": program},
			want: `Binaries: two binaries for linux/amd64, linux/arm64 are named server: example.com/acme/cmd/b/server and example.com/acme/cmd/server: give one of them another Name, or Platforms of its own, in Binaries`},
		{name: "two given one name", files: files{"cmd/agent/main.go": program},
			project: Project{Binaries: []Binary{{Name: "server"}, {Name: "Server", Package: "./cmd/agent", Platforms: []string{"linux/arm64", "windows/arm64"}}}, Images: []Image{{Name: "server"}}},
			want:    `Binaries[1]: two binaries for linux/arm64 are named Server: example.com/acme/cmd/server and example.com/acme/cmd/agent: give one of them another Name, or Platforms of its own, in Binaries`},
		{name: "name with a slash", project: Project{Binaries: []Binary{{Name: "../server", Package: "./cmd/server"}}, Images: []Image{{Name: "x", Binaries: []string{"../server"}}}},
			want: `Binaries[0].Name: "../server" can't be a file's name: use letters, digits and . _ + -`},

		// GoBuild
		{name: "refused flags", project: Project{Go: GoBuild{Flags: []string{"-o=x", "-v", "--C=..", "-n", "-json"}}},
			want: `Go.Flags[0]: "-o=x" is refused: multimage chooses where binaries go: see Output
Go.Flags[2]: "--C=.." is refused: set Dir instead
Go.Flags[3]: "-n" is refused: it builds nothing: Plan.String says what would be built
Go.Flags[4]: "-json" is refused: multimage shows the compiler's text as it is`},
		{name: "refused variables", project: Project{Binaries: []Binary{{Name: "server", Go: GoBuild{Env: []string{"GOOS=linux", "GOARM=7", "CGO_ENABLED=1", "GOTMPDIR=/tmp", "GOEXPERIMENT"}}}}},
			want: `Binaries[0].Go.Env[0]: "GOOS=linux" is refused: choose the platform in Platforms, like linux/arm/v6
Binaries[0].Go.Env[1]: "GOARM=7" is refused: choose the platform in Platforms, like linux/arm/v6
Binaries[0].Go.Env[2]: "CGO_ENABLED=1" is refused: name the C compilers in CGO, which turns cgo on, or leave both out
Binaries[0].Go.Env[3]: "GOTMPDIR=/tmp" is refused: multimage sets it
Binaries[0].Go.Env[4]: "GOEXPERIMENT": want KEY=VALUE`},
		{name: "template in ldflags", project: Project{Go: GoBuild{Ldflags: "-X main.version={{.Verison}}"}},
			want: `Go.Ldflags: template "-X main.version={{.Verison}}": 1:18: executing "" at <.Verison>: can't evaluate field Verison in type buildlib.Facts ` + theFacts},
		{name: "template on some platforms", project: Project{Platforms: []string{"linux/arm/v7", "linux/amd64"}, Go: GoBuild{Ldflags: "-X main.level={{slice .Variant 1}}"}},
			want: `Go.Ldflags: template "-X main.level={{slice .Variant 1}}": 1:16: executing "" at <slice .Variant 1>: error calling slice: index out of range: 1 ` + theFacts},

		// Images
		{name: "unknown binary", project: Project{Images: []Image{{Name: "router", Binaries: []string{"servr"}}}},
			want: `Images[0].Binaries[0]: no binary is named "servr" (the project has server); did you mean server?`},
		{name: "duplicate image", project: Project{Images: []Image{{Name: "server"}, {Name: "server"}}},
			want: `Images: two images are named "server", which names their layouts: give one another Name, and for variants in one repository the same Repository and other Tags: {Name: "server-alpine", Repository: "server", Binaries: ..., Tags: []string{"{{.Version}}-alpine"}}`},
		{name: "image in another's folder", project: Project{Images: []Image{{Name: "a/b", Binaries: []string{"server"}}, {Name: "ab", Binaries: []string{"server"}}, {Name: "a", Binaries: []string{"server"}}, {Name: "a/index.json", Binaries: []string{"server"}}}},
			want: `Images[0].Name: "a/b" lies in the folder of a, and each would delete the other's layout: rename one of them (Repository sets its name in registries)
Images[3].Name: "a/index.json" lies in the folder of a, and each would delete the other's layout: rename one of them (Repository sets its name in registries)`},
		{name: "images of one reference", project: Project{Registries: []string{"ghcr.io/x"}, Version: "1", Images: []Image{
			{Name: "server"}, {Name: "small", Binaries: []string{"server"}, Repository: "server"}, {Name: "other", Binaries: []string{"server"}, Repository: "server", Tags: []string{"2"}}}},
			want: `Images: server and small are both published as ghcr.io/x/server:1: give one of them other Tags, like {{.Version}}-alpine, or another Repository`},
		{name: "binary called like a platform", project: Project{Platforms: []string{"linux/amd64", "linux/amd64/v3"}, Binaries: []Binary{{Name: "v3", Package: "./cmd/server"}}},
			want: `Binaries[0].Name: v3 has the same path as the folder of the binaries for linux/amd64/v3, bin/linux/amd64/v3: give it another Name`},
		{name: "image name", project: Project{Images: []Image{{Name: "Server", Binaries: []string{"server"}}}},
			want: `Images[0].Name: "Server" is not a valid repository name: ` + nameless},
		{name: "no image name", project: Project{Images: []Image{{Binaries: []string{"server"}}}},
			want: `Images[0].Name: "" is not a valid repository name: ` + nameless},
		{name: "image asked for", over: Overrides{Images: []string{"router"}},
			want: `Overrides.Images[0]: no image is named "router" (the project has server)`},
		{name: "binaries in one place", files: files{"cmd/agent/main.go": program},
			project: Project{Binaries: []Binary{{Name: "server", Path: "/app"}, {Name: "agent", Path: "/app"}}, Images: []Image{{Name: "both", Binaries: []string{"server", "agent"}}}},
			want:    `Images[0].Binaries: server and agent both go to /app: set the Path of one`},
		{name: "tags", project: Project{Tags: []string{"ok", "not ok", "-x"}}, over: Overrides{},
			want: `Tags[1]: "not ok" is not a valid tag: use at most 128 letters, digits and . _ -, not starting with . or - (OCI distribution spec)
Tags[2]: "-x" is not a valid tag: use at most 128 letters, digits and . _ -, not starting with . or - (OCI distribution spec)`},
		{name: "tag of an image", project: server(func(i *Image) { i.Tags = []string{"{{.Platform}}"} }),
			want: `Images[0].Tags[0]: template "{{.Platform}}": 1:2: executing "" at <.Platform>: can't evaluate field Platform in type buildlib.platformless (a version, its tags and repositories are the same on every platform; PlatformTags are not)`},
		{name: "tag in the environment", over: Overrides{Tags: []string{"feature/x"}},
			want: `Overrides.Tags[0]: "feature/x" is not a valid tag: use at most 128 letters, digits and . _ -, not starting with . or - (OCI distribution spec)`},
		{name: "version", project: Project{Version: "{{.Version}}-x"},
			want: `Version: template "{{.Version}}-x": 1:2: executing "" at <.Version>: can't evaluate field Version in type buildlib.versionless (the version can't depend on itself)`},
		{name: "empty version", project: Project{Version: "{{.Tag}}"}, want: `Version: "{{.Tag}}" renders empty`},
		{name: "registries", project: Project{Registries: []string{"https://ghcr.io/acme", "acme", "ghcr.io/ACME", "ghcr.io/acme", "ghcr.io/acme/"}},
			want: `Registries: ghcr.io/acme/server is named twice
Registries[0]: "https://ghcr.io/acme": leave out the scheme: registries speak https, and plain http if they are on the loopback interface or in Insecure
Registries[1]: "acme" has no registry host: Docker Hub's is docker.io/acme
Registries[2]: "ghcr.io/ACME" does not make a valid repository name with server: repository can only contain the characters ` + "`abcdefghijklmnopqrstuvwxyz0123456789_-./`" + `: ACME/server`},
		{name: "attributes of a binary", project: Project{Binaries: []Binary{{Name: "server", Mode: 0o644, UID: -1}}},
			want: `Binaries[0].Mode: 0644 lets nobody execute it: want one like 0o755
Binaries[0].UID: -1 is not a valid user or group ID: want 0 to 4294967294`},
		{name: "compression", project: Project{Compression: "lz4"}, want: `Compression: "lz4" is not a compression of layers: want gzip or zstd`},
		{name: "aliases", project: Project{Registries: []string{"ghcr.io/acme"}, Images: []Image{
			{Name: "server", Aliases: []string{"server", "app", "app", "ghcr.io/acme/server", "quay.io/acme/server"}},
		}},
			want: `Images[0].Aliases: ghcr.io/acme/server is named twice: the image goes there already
Images[0].Aliases[0]: "server" is named twice: it is the image's Repository, or another alias
Images[0].Aliases[2]: "app" is named twice: it is the image's Repository, or another alias`},
		{name: "base", project: server(func(i *Image) { i.Base = "alpine:3.24:x" }),
			want: `Images[0].Base: "alpine:3.24:x" is not a valid base: want scratch, a reference like alpine:3.24, oci:PATH, or dockerfile:PATH: could not parse reference: alpine:3.24:x`},
		{name: "oci base without a path", project: server(func(i *Image) { i.Base = "oci:" }),
			want: `Images[0].Base: "oci:" does not name a folder or tar: want oci:PATH`},
		{name: "template of a base", project: server(func(i *Image) { i.Base = "{{.Arch" }),
			want: `Images[0].Base: template "{{.Arch": 1: unclosed action ` + theFacts},
		{name: "function", project: server(func(i *Image) { i.Base = "{{.Arch | upper}}" }),
			want: `Images[0].Base: template "{{.Arch | upper}}": 1: function "upper" not defined (the functions are text/template's and lower, replace, trimPrefix)`},
		{name: "labels", project: server(func(i *Image) { i.Labels = map[string]string{"": "x", "a b": "x", "c": "{{.Nope}}"} }),
			want: `Images[0].Labels: "" is not a valid label key: use one like com.example.team, without spaces or =
Images[0].Labels: "a b" is not a valid label key: use one like com.example.team, without spaces or =
Images[0].Labels["c"]: template "{{.Nope}}": 1:2: executing "" at <.Nope>: can't evaluate field Nope in type buildlib.Facts ` + theFacts},
		{name: "files", project: server(func(i *Image) {
			i.Files = []File{{Source: "none.txt", Path: "/a"}, {Source: "../secret", Path: "/b"}, {Source: "go.mod"}, {Path: "var/x"}, {Source: "go.mod", Path: "/c", Mode: os.ModeSymlink | 0o777}, {Path: "/d", UID: -1}}
		}),
			want: `Images[0].Files[0].Source: "none.txt": no such file or folder in DIR: correct it, or make it first
Images[0].Files[1].Source: "../secret" leaves the project: files come from below DIR
Images[0].Files[2].Path: "": want an absolute path in the image, without ..
Images[0].Files[3].Path: "var/x": want an absolute path in the image, without ..
Images[0].Files[4].Mode: 01000000777 has more than permission bits: want one like 0o644
Images[0].Files[5].UID: -1 is not a valid user or group ID: want 0 to 4294967294`},
		{name: "files that images never take in", files: files{".git/config": "", "sub/.git/config": "", "made/x": "", "out/cache/y": "", "web/a": ""},
			project: server(func(i *Image) {
				i.Files = []File{{Source: ".git", Path: "/a"}, {Source: "sub/.git/config", Path: "/b"}, {Source: "made", Path: "/c"}, {Source: "./made/x", Path: "/d"}, {Source: "out/cache/y", Path: "/e"}, {Source: "web/../made/later", Path: "/f"}, {Source: ".", Path: "/g"}}
			}),
			over: Overrides{Cache: "DIR/out/cache", Output: "made"},
			want: `Images[0].Files[0].Source: ".git" is .git, which images never take in: copy what you need of it to another folder
Images[0].Files[1].Source: "sub/.git/config" is in .git, which images never take in: copy what you need of it to another folder
Images[0].Files[2].Source: "made" is the Output made, which images never take in: use another folder for one of the two
Images[0].Files[3].Source: "./made/x" is in the Output made, which images never take in: use another folder for one of the two
Images[0].Files[4].Source: "out/cache/y" is in the cache DIR/out/cache, which images never take in: use another folder for one of the two
Images[0].Files[5].Source: "web/../made/later" is in the Output made, which images never take in: use another folder for one of the two`},
		{name: "files that .dockerignore excludes", files: files{".dockerignore": "# built elsewhere\n*.tmp\nweb\n", "web/a": "", "x.tmp": ""},
			project: server(func(i *Image) {
				i.Files = []File{{Source: "web", Path: "/a"}, {Source: "web/a", Path: "/b"}, {Source: "x.tmp", Path: "/c"}, {Source: "go.mod", Path: "/d"}}
			}),
			want: `Images[0].Files[0].Source: "web" is excluded by "web" in .dockerignore: change that, or add !web after it
Images[0].Files[1].Source: "web/a" is excluded by "web" in .dockerignore: change that, or add !web/a after it
Images[0].Files[2].Source: "x.tmp" is excluded by "*.tmp" in .dockerignore: change that, or add !x.tmp after it`},
		{name: ".dockerignore", files: files{".dockerignore": "a\n[\n"}, project: server(func(i *Image) { i.Files = []File{{Source: "go.mod", Path: "/a"}, {Source: "go.sum", Path: "/b"}} }),
			want: `.dockerignore: "[": syntax error in pattern`},
		{name: ".dockerignore in UTF-16", files: files{".dockerignore": "\xff\xfea\x00\n\x00"}, project: server(func(i *Image) { i.Files = []File{{Source: "go.mod", Path: "/a"}} }),
			want: `.dockerignore: is not UTF-8 text: save it as UTF-8`},
		{name: "control characters in a path", project: server(func(i *Image) { i.Files = []File{{Source: "go.mod", Path: "/a\nb"}} }),
			want: `Images[0].Files[0].Path: "/a\nb" has control characters or is not UTF-8`},
		{name: "a blank before a path", project: server(func(i *Image) { i.Files = []File{{Source: "go.mod", Path: " /a"}} }),
			want: `Images[0].Files[0].Path: " /a": want an absolute path in the image, without ..`},
		{name: "config", project: server(func(i *Image) {
			i.WorkDir, i.BinDir, i.Volumes = "srv", "/a/../b", []string{"", "/data"}
			i.Env, i.Ports, i.StopSignal, i.Cmd = []string{"A=b", "B"}, []string{"80", "http"}, "SIGNOPE", []string{"a\x00b"}
		}),
			want: `Images[0].BinDir: "/a/../b": want an absolute path in the image, without ..
Images[0].WorkDir: "srv": want an absolute path in the image, without ..
Images[0].Cmd[0]: "a\x00b" holds a NUL
Images[0].Env[1]: "B": want KEY=VALUE
Images[0].Ports[1]: port "http": want a number from 1 to 65535, or a range, and optionally /tcp, /udp or /sctp
Images[0].Volumes[0]: "": want an absolute path in the image, without ..
Images[0].StopSignal: "SIGNOPE" is not a Linux signal: want a name like SIGQUIT or a number`},

		// Templates
		{name: "templates that are wrong", project: Project{
			Registries: []string{"ghcr.io/{{.OS}}"},
			Binaries:   []Binary{{Name: "server", Path: "/{{.Nope}}"}},
			Images:     []Image{{Name: "server", Repository: "{{.Version}}", Tags: []string{"{{.Variant}}"}}},
		}, over: Overrides{Version: "No"},
			want: `Registries[0]: template "ghcr.io/{{.OS}}": 1:10: executing "" at <.OS>: can't evaluate field OS in type buildlib.platformless (a version, its tags and repositories are the same on every platform; PlatformTags are not)
Binaries[0].Path: template "/{{.Nope}}": 1:3: executing "" at <.Nope>: can't evaluate field Nope in type buildlib.Facts ` + theFacts + `
Images[0].Repository: "No" is not a valid repository name: ` + nameless + `
Images[0].Tags[0]: template "{{.Variant}}": 1:2: executing "" at <.Variant>: can't evaluate field Variant in type buildlib.platformless (a version, its tags and repositories are the same on every platform; PlatformTags are not)`},
		{name: "templates of the go command", project: Project{Go: GoBuild{Env: []string{"A=b", "GO{{.OS}}={{.A}}"}}},
			want: `Go.Env[1]: template "GO{{.OS}}={{.A}}": 1:12: executing "" at <.A>: can't evaluate field A in type buildlib.Facts ` + theFacts},
		{name: "templates of an image", project: Project{
			Labels: map[string]string{"b": "{{.B}}", "a": "{{.A"},
			Images: []Image{{Name: "server", Repository: "{{.Arch}}", WorkDir: "/{{.Nope}}", BinDir: "{{.OS}}", Env: []string{"A={{.A}}", "{{.OS}}"},
				Cmd: []string{"{{.A}}", "{{"}, Ports: []string{"{{.Version}}"}, Volumes: []string{"{{.OS}}"}, Files: []File{{Source: "{{.A}}", Path: "{{.OS}}"}}}},
		}, over: Overrides{Platforms: []string{"linux/amd64"}, Version: "no-port", Registries: []string{"ghcr.io/acme"}},
			want: `Images[0].Repository: template "{{.Arch}}": 1:2: executing "" at <.Arch>: can't evaluate field Arch in type buildlib.platformless (a version, its tags and repositories are the same on every platform; PlatformTags are not)
Images[0].BinDir: "linux": want an absolute path in the image, without ..
Images[0].WorkDir: template "/{{.Nope}}": 1:3: executing "" at <.Nope>: can't evaluate field Nope in type buildlib.Facts ` + theFacts + `
Images[0].Cmd[0]: template "{{.A}}": 1:2: executing "" at <.A>: can't evaluate field A in type buildlib.Facts ` + theFacts + `
Images[0].Cmd[1]: template "{{": 1: unclosed action ` + theFacts + `
Images[0].Env[0]: template "A={{.A}}": 1:4: executing "" at <.A>: can't evaluate field A in type buildlib.Facts ` + theFacts + `
Images[0].Env[1]: "linux": want KEY=VALUE
Images[0].Ports[0]: port "no-port": want a number from 1 to 65535, or a range, and optionally /tcp, /udp or /sctp
Images[0].Volumes[0]: "linux": want an absolute path in the image, without ..
Images[0].Files[0].Source: template "{{.A}}": 1:2: executing "" at <.A>: can't evaluate field A in type buildlib.Facts ` + theFacts + `
Images[0].Files[0].Path: "linux": want an absolute path in the image, without ..
Labels["a"]: template "{{.A": 1: unclosed action ` + theFacts + `
Labels["b"]: template "{{.B}}": 1:2: executing "" at <.B>: can't evaluate field B in type buildlib.Facts ` + theFacts},
		{name: "templates where there are none", project: Project{
			TagPattern: "{{.A}}", Insecure: []string{"{{.A}}"}, Platforms: []string{"{{.A}}/amd64", "linux/amd64"},
			Binaries: []Binary{{Name: "{{.A}}", Package: "{{.A}}", Platforms: []string{"{{.A}}"}}, {Name: "server"}},
			Images: []Image{{Name: "{{.A}}", Binaries: []string{"server", "{{.A}}"}, Platforms: []string{"{{.A}}"}, StopSignal: "{{.A}}",
				User: User{Name: "{{.A}}", Home: "/{{.A}}"}, Labels: map[string]string{"{{.A}}": ""}}},
			Labels: map[string]string{"{{.A}}": "", "a": ""}, Runners: map[string]string{"linux/amd64": "{{.A}}", "{{.A}}": ""},
			Bench: Bench{Platforms: []string{"{{.A}}"}, Binaries: []string{"{{.A}}"}, Baseline: "{{.A}}"},
		}, over: Overrides{Version: "1"}, want: strings.NewReplacer("|", `: "{{.A}}" contains {{, but this field takes no template: write the value itself`).Replace(
			`TagPattern|
Insecure[0]|
Platforms[0]: "{{.A}}/amd64" contains {{, but this field takes no template: write the value itself
Binaries[0].Name|
Binaries[0].Package|
Binaries[0].Platforms[0]|
Images[0].Name|
Images[0].Binaries[1]|
Images[0].Platforms[0]|
Images[0].User.Name|
Images[0].User.Home: "/{{.A}}" contains {{, but this field takes no template: write the value itself
Images[0].StopSignal|
Images[0].Labels["{{.A}}"]|
Labels["{{.A}}"]|
Runners["linux/amd64"]|
Runners["{{.A}}"]|
Bench.Platforms[0]|
Bench.Binaries[0]|
Bench.Baseline|`)},
		{name: "template of a folder", project: Project{Output: "dist/{{.Version}}", Dir: "{{.A}}"},
			want: `Dir: "DIR/{{.A}}" contains {{, but this field takes no template: write the value itself
Output: "dist/{{.Version}}" contains {{, but this field takes no template: write the value itself`},
		{name: "template of a folder in the environment", over: Overrides{Output: "{{.Version}}"},
			want: `Overrides.Output: "{{.Version}}" contains {{, but this field takes no template: write the value itself`},
		{name: "refused variable of a template", project: Project{Platforms: []string{"linux/amd64"}, Go: GoBuild{Env: []string{"GO{{if .OS}}OS{{end}}=linux", "{{if .IsRelease}}A=b{{end}}"}}},
			want: `Go.Env[0]: "GOOS=linux" is refused: choose the platform in Platforms, like linux/arm/v6`},

		// Folders
		{name: "no such Dir", project: Project{Dir: "svc"}, want: ``},
		{name: "Output is Dir", project: Project{Output: "."}, want: `Output: "." holds the project itself: name a folder of its own, like dist`},
		{name: "Output in git's folder", project: Project{Output: ".git/out"}, want: `Output: ".git/out" is in a folder of git: name another, like dist`},
		{name: "Output above Dir", project: Project{Output: ".."}, want: `Output: ".." holds the project itself: name a folder of its own, like dist`},
		{name: "the cache is Dir", over: Overrides{Cache: "DIR"}, want: `the cache: "DIR" is the project itself: set Overrides.Cache to a folder of its own`},
		{name: "Output is the root", over: Overrides{Output: "/"}, want: `Output: "/" holds the project itself: name a folder of its own, like dist`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			for name, content := range tt.files {
				f[name] = content
			}
			dir := project(t, f)
			got := strings.Join(mistakes(t, dir, tt.project, tt.over), "\n")
			if tt.want == "" {
				tt.want = `Dir: "DIR/svc" is not a folder: name the folder of the Go module, relative to ` + workdir()
			}
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// A Source that a step of the project has yet to make is missed only by who
// reads it, and before anything is compiled.
func TestAbsentSource(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	p := server(func(i *Image) {
		i.Files = []File{{Source: "gen/{{.Arch}}.txt", Path: "/a"}, {Source: "go.mod", Path: "/b"}}
	})
	p.Version, p.Platforms, p.Registries = "1.0", []string{"linux/amd64"}, []string{registry}
	want := `Images[0].Files[0].Source: "gen/amd64.txt": no such file or folder in ` + dir + ": correct it, or make it first"
	resolve := func() *opened { return plan(t, dir, p, Overrides{}) }
	reading := map[string]func(*opened) error{
		"images":   func(p *opened) error { _, err := p.Images(t.Context()); return err },
		"manifest": func(p *opened) error { _, err := p.Manifest(t.Context()); return err },
		"push":     func(p *opened) error { _, err := p.Push(t.Context()); return err },
		"load":     func(p *opened) error { _, err := p.Load(t.Context()); return err },
	}
	for name, stage := range reading {
		if err := stage(resolve()); err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", name, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
		t.Error("there is a dist")
	}
	early := resolve()
	if text := early.String(); !strings.Contains(text, `warning: Images[0].Files[0].Source: "gen/amd64.txt" is not there`) {
		t.Errorf("the plan says nothing of it:\n%s", text)
	}
	if m := matrix(t, early); len(m.Include) != 1 {
		t.Errorf("matrix %+v", m)
	}
	if _, err := early.Binaries(t.Context()); err != nil {
		t.Errorf("binaries: %v", err)
	}

	// Made meanwhile, it is there; and gone again where records are merged.
	write(t, filepath.Join(dir, "gen", "amd64.txt"), "made")
	delete(reading, "load") // needs an engine
	for name, stage := range reading {
		if err := stage(early); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "gen")); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve().Merge(t.Context(), filepath.Join(dir, "dist", "digests")); err != nil {
		t.Errorf("merge: %v", err)
	}
}

// An absolute output folder may be written in many ways.
func TestOutputThatHoldsTheProject(t *testing.T) {
	dir := project(t, oneMain())
	for _, output := range []string{dir, dir + "/", dir + "/.", dir + "/cmd/..", filepath.Dir(dir) + "/"} {
		if got := mistakes(t, dir, Project{Output: output}, Overrides{}); len(got) != 1 || !strings.Contains(got[0], "holds the project itself") {
			t.Errorf("Output %s: %q", output, got)
		}
	}
}

// A run of half an hour that ends with the second mistake, and then the third,
// is what this spares: none hides another, and none is made up of another.
func TestAllMistakesAtOnce(t *testing.T) {
	dir := project(t, files{"go.mod": goMod, "cmd/server/main.go": program, "cmd/agent/main.go": program})
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	got := mistakes(t, dir, Project{
		Version:    "{{.Nope}}",
		Tags:       []string{"a b"},
		Registries: []string{"acme"},
		Platforms:  []string{"linux/amd46", "linux/arm64"},
		Go:         GoBuild{Flags: []string{"-o=x"}},
		Binaries: []Binary{
			{Name: "server", Path: "bin/server"},
			{Name: "sever"},
			{Name: "agent", Go: GoBuild{Env: []string{"GOARCH=arm"}}},
		},
		Images: []Image{
			{Name: "server", Ports: []string{"http"}, Base: "a:b:c"},
			{Name: "sever", User: User{Name: "A"}},
			{Name: "Agent", Binaries: []string{"agent"}, Files: []File{{Source: "none", Path: "/none"}}},
			{Name: "tool", WorkDir: "srv"},
		},
	}, Overrides{Images: []string{"nope", "server", "sever", "Agent", "tool"}})
	for _, want := range []string{
		"SOURCE_DATE_EPOCH:", "Version:", "Tags[0]:", "Registries[0]:", "Platforms[0]:", "Go.Flags[0]:",
		"Binaries[0].Path:", "Binaries[1].Package:", "Binaries[2].Go.Env[0]:",
		"Images[0].Ports[0]:", "Images[0].Base:", "Images[1].User.Name:",
		"Images[2].Name:", "Images[2].Files[0].Source:", "Images[3].Binaries[0]:", "Images[3].WorkDir:",
		"Overrides.Images[0]:",
	} {
		at := slices.IndexFunc(got, func(line string) bool { return strings.HasPrefix(line, want) })
		if at < 0 {
			t.Errorf("nothing is said of %s", want)
			continue
		}
		got = slices.Delete(got, at, at+1)
	}
	// An image of a binary that is wrong itself is not wrong for that.
	if len(got) > 0 {
		t.Errorf("said, too:\n%s", strings.Join(got, "\n"))
	}
}
