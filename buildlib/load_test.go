package buildlib

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// What is loaded is built as what is published: with its bases from Dockerfiles, and
// with a build cache only if that is signed.
func TestLimitedPlan(t *testing.T) {
	p := plan(t, project(t, oneMain()), Project{}, Overrides{})
	p.Bases, p.Dockerfiles = "ghcr.io/acme/bases", []DockerfilePlan{{Base: "dockerfile:base"}}
	p.BuildCache, p.Sign = "ghcr.io/acme/cache", "env://KEY"
	limited, err := p.limitedTo(v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if limited.Bases != p.Bases || len(limited.Dockerfiles) != 1 {
		t.Errorf("the bases from Dockerfiles are %v in %q, want %v in %q", limited.Dockerfiles, limited.Bases, p.Dockerfiles, p.Bases)
	}
	if limited.BuildCache != p.BuildCache || limited.Sign != p.Sign {
		t.Errorf("build cache %q is checked with key %q, want %q with %q", limited.BuildCache, limited.Sign, p.BuildCache, p.Sign)
	}
}

// An engine gets the image that it runs best, and nothing else is compiled.
func TestLimitedTo(t *testing.T) {
	p := plan(t, project(t, oneMain()), Project{Platforms: []string{"linux/amd64", "linux/amd64/v3", "linux/arm64", "linux/arm/v6", "linux/arm/v7"}}, Overrides{})
	for _, tt := range []struct {
		engine v1.Platform
		want   string
		err    string
	}{
		{engine: v1.Platform{OS: "linux", Architecture: "amd64"}, want: "linux/amd64"},
		{engine: v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}, want: "linux/amd64/v3"},
		{engine: v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v4"}, want: "linux/amd64/v3"},
		{engine: v1.Platform{OS: "linux", Architecture: "x86_64"}, want: "linux/amd64"},
		{engine: v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, want: "linux/arm64"},
		{engine: v1.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}, want: "linux/arm/v6"},
		{engine: v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, want: "linux/arm/v7"},
		{engine: v1.Platform{OS: "linux", Architecture: "s390x"}, err: "image server is for linux/amd64, linux/amd64/v3, linux/arm64, linux/arm/v6, linux/arm/v7: add the engine's platform"},
		{engine: v1.Platform{OS: "windows", Architecture: "amd64"}, err: "add the engine's platform"},
	} {
		t.Run(tt.engine.String(), func(t *testing.T) {
			limited, err := p.limitedTo(tt.engine)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := mains(limited), []string{tt.want + " cmd/server"}; !slices.Equal(got, want) {
				t.Errorf("compiles %q, want %q", got, want)
			}
			if images := limited.ImagePlans; len(images) != 1 || len(images[0].Platforms) != 1 || images[0].Platforms[0].Platform.String() != tt.want {
				t.Errorf("images %+v, want one for %s", images, tt.want)
			}
		})
	}
	if len(p.Compiles) != 5 || len(p.ImagePlans[0].Platforms) != 5 {
		t.Error("the plan itself was limited")
	}
}

// A target may load again and again while the source changes.
func TestStaleAfterLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no shell scripts on Windows")
	}
	dir, programs := project(t, oneMain()), t.TempDir()
	engine := "#!/bin/sh\ncase $1 in version) echo linux/amd64;; load) cat >/dev/null;; esac\n"
	if err := os.WriteFile(filepath.Join(programs, "docker"), []byte(engine), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	b := open(t, plan(t, dir, Project{}, Overrides{}).Plan, Options{Engine: "docker"})
	if _, err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	stale := func() bool {
		t.Helper()
		stale, err := b.Stale(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stale
	}
	if stale() {
		t.Error("stale, though nothing has changed")
	}
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), program+"// changed\n")
	if !stale() {
		t.Error("not stale, though the source has changed")
	}
}

func TestLoadNames(t *testing.T) {
	for _, tt := range []struct {
		image ImagePlan
		want  string
	}{
		{ImagePlan{Name: "server", Tags: []string{"1.0", "latest"}}, "server:1.0 server:latest"},
		{ImagePlan{Name: "team/server", Tags: []string{"1.0"}, Repositories: []string{"ghcr.io/acme/team/server", "docker.io/acme/team/server"}},
			"ghcr.io/acme/team/server:1.0 docker.io/acme/team/server:1.0"},
	} {
		tags, err := tt.image.names()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tag := range tags {
			got = append(got, tag.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s loads as %q, want %s", tt.image.Name, got, tt.want)
		}
	}
	if _, err := (ImagePlan{Name: "server"}).names(); err == nil || !strings.Contains(err.Error(), "set Tags") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
