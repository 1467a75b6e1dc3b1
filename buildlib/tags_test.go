package buildlib

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// What nobody can build again is published under names that say so.
func TestDirtyTags(t *testing.T) {
	for _, tt := range []struct {
		name             string
		tags             []string
		version          string
		allow            bool
		published        string // in the registry
		warning, refused string
	}{
		{name: "all", tags: []string{"{{.Version}}", `{{.Version | trimPrefix "v"}}-alpine`}, published: "1.2.3-dirty-alpine v1.2.3-dirty"},
		{name: "some", tags: []string{"{{.Version}}", "latest", "{{.Major}}"}, published: "v1.2.3-dirty",
			warning: "image server: tags not moved: latest, 1, because the checkout has uncommitted changes: commit them, or set Overrides.AllowDirty"},
		{name: "allowed", tags: []string{"{{.Version}}", "latest"}, allow: true, published: "latest v1.2.3-dirty"},
		{name: "none", tags: []string{"latest"},
			refused: "image server: the checkout has uncommitted changes, and no tag says so (latest): commit them, let a tag hold {{.Version}}, which ends in -dirty, or set Overrides.AllowDirty"},
		{name: "a version that doesn't say so", version: "1.2.3",
			refused: "image server: the checkout has uncommitted changes, and no tag says so (1.2.3): commit them, let a tag hold {{.Version}}, which ends in -dirty, or set Overrides.AllowDirty"},
		{name: "none wanted", tags: []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, oneMain())
			commit(t, dir, "v1.2.3")
			write(t, filepath.Join(dir, "cmd", "server", "main.go"), program+"\n")
			registry := testenv.MemoryRegistry(t)
			project := Project{Version: tt.version, Tags: tt.tags, Registries: []string{registry}, Platforms: []string{"linux/amd64"}}
			p, events := watched(t, dir, project, Overrides{AllowDirty: tt.allow})
			all, err := p.Manifest(t.Context())
			if tt.refused != "" {
				if err == nil || err.Error() != tt.refused {
					t.Errorf("error %v\nwant %s", err, tt.refused)
				}
				if len(events.events) > 0 {
					t.Errorf("it began to work: %+v", events.events)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wanted := p.ImagePlans[0].Tags
			slices.Sort(all[0].Tags)
			if got := strings.Join(all[0].Tags, " "); got != tt.published {
				t.Errorf("published %s, want %s", got, tt.published)
			}
			for _, tag := range wanted {
				response, err := http.Get("http://" + registry + "/v2/server/manifests/" + tag)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if there := response.StatusCode == http.StatusOK; there != slices.Contains(all[0].Tags, tag) {
					t.Errorf("tag %s is in the registry: %v", tag, there)
				}
			}
			var warning string
			for _, e := range events.events {
				if e.Step == StepWarn {
					warning += e.Subject
				}
			}
			if warning != tt.warning {
				t.Errorf("warning %q\nwant %q", warning, tt.warning)
			}
			// The layout is this machine's own.
			images, err := p.Images(t.Context())
			if err != nil || !slices.Equal(images[0].Tags, append([]string{}, wanted...)) {
				t.Errorf("the layout has %q, %v, want %q", images[0].Tags, err, wanted)
			}
		})
	}
}

// A runner whose checkout was changed says so in its records, though the
// version was given.
func TestDirtyRecord(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir)
	registry := testenv.MemoryRegistry(t)
	p := Project{Version: "1.0", Tags: []string{"{{.Version}}", "1.0-dirty"}, Registries: []string{registry}, Platforms: []string{"linux/amd64"}}
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), program+"\n")
	if _, err := plan(t, dir, p, Overrides{}).Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), program)
	records := filepath.Join(dir, "dist", "digests")
	merging, events := watched(t, dir, p, Overrides{})
	if merging.Dirty {
		t.Fatal("the checkout is still changed")
	}
	merged, err := merging.Merge(t.Context(), records)
	if err != nil || !slices.Equal(merged[0].Tags, []string{"1.0-dirty"}) {
		t.Errorf("merged %+v, %v", merged, err)
	}
	if !slices.ContainsFunc(events.events, func(e Event) bool { return e.Step == StepWarn }) {
		t.Error("nothing was said of it")
	}
	p.Tags = nil
	if _, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), records); err == nil || !strings.Contains(err.Error(), "no tag says so (1.0)") {
		t.Errorf("error %v, want that no tag is left", err)
	}
	merged, err = plan(t, dir, p, Overrides{AllowDirty: true}).Merge(t.Context(), records)
	if err != nil || !slices.Equal(merged[0].Tags, []string{"1.0"}) {
		t.Errorf("merged %+v, %v, though it is allowed", merged, err)
	}
}

// An index that no tag leads to isn't what somebody wants who set some.
func TestTagsThatRenderEmpty(t *testing.T) {
	dir := project(t, oneMain())
	want := "image server: all its tags render empty ({{.Tag}}, {{if .IsRelease}}latest{{end}}), and nobody finds an index without one: add another to Tags or Overrides.Tags"
	for _, registries := range [][]string{nil, {testenv.MemoryRegistry(t)}} {
		p := plan(t, dir, Project{Version: "1.0-rc", Tags: []string{"{{.Tag}}", "{{if .IsRelease}}latest{{end}}"}, Registries: registries, Platforms: []string{"linux/amd64"}}, Overrides{})
		if text := p.String(); !strings.Contains(text, "none: {{.Tag}}, {{if .IsRelease}}latest{{end}} renders empty") {
			t.Errorf("the plan says\n%s", text)
		}
		if _, err := p.Manifest(t.Context()); err == nil || err.Error() != want {
			t.Errorf("manifest: %v\nwant %s", err, want)
		}
		if registries != nil {
			if _, err := p.Push(t.Context()); err == nil || err.Error() != want {
				t.Errorf("push: %v\nwant %s", err, want)
			}
			continue
		}
		if _, err := p.Images(t.Context()); err != nil {
			t.Errorf("images: %v", err)
		}
	}
}

func TestSaysDirty(t *testing.T) {
	for tag, want := range map[string]bool{
		"v1.2.3-dirty": true, "dirty": true, "v1.2.3_dirty": true, "1.2.3-dirty-alpine": true, "0123456789ab-dirty": true,
		"latest": false, "v1.2.3": false, "quickndirty": false, "dirtyfix": false,
	} {
		if got := saysDirty.MatchString(tag); got != want {
			t.Errorf("%s says so: %v", tag, got)
		}
	}
}

// latest is the highest release's: a fix of an old one leaves it where it is.
func TestLatestIsTheHighestRelease(t *testing.T) {
	for _, tt := range []struct{ before, now, want string }{
		{"", "v1.0.0", "[v1.0.0 latest]"},
		{"v1.0.0", "v1.0.1", "[v1.0.1 latest]"},
		{"v2.0.0", "v1.0.1", "[v1.0.1]"},
		{"v2.0.0-rc.1", "v1.0.1", "[v1.0.1 latest]"},
		{"v1.0.0", "v1.1.0-rc.1", "[v1.1.0-rc.1]"},
	} {
		dir := project(t, oneMain())
		commit(t, dir, strings.Fields(tt.before)...)
		for _, args := range [][]string{{"commit", "--quiet", "--allow-empty", "-m", "a fix"}, {"tag", tt.now}} {
			cmd := exec.Command("git", args...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		p := plan(t, dir, Project{Tags: []string{"{{.Version}}", "{{if .IsLatest}}latest{{end}}"}, Platforms: []string{"linux/amd64"}}, Overrides{})
		if got := fmt.Sprint(p.ImagePlans[0].Tags); got != tt.want {
			t.Errorf("%s after %q: tags %s, want %s", tt.now, tt.before, got, tt.want)
		}
	}
}
