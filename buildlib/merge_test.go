package buildlib

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Pushed from several plans and merged, the images are those that one plan
// makes: what goes to registries, and what stays here.
func TestMerge(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	base := testenv.Tiny()
	testenv.Push(t, registry+"/library/base:1", base.Index(t))
	p := Project{
		Version: "1.0", Tags: []string{"{{.Version}}", "latest"}, Registries: []string{registry + "/acme", registry + "/more"},
		Platforms: []string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7"},
		Labels:    map[string]string{"org.opencontainers.image.licenses": "MIT", "arch": "{{.Arch}}"},
		Binaries:  []Binary{{Name: "server"}},
		Images: []Image{
			{Name: "server", Base: registry + "/library/base:1"},
			{Name: "mixed", Binaries: []string{"server"}, Base: "{{if eq .Arch \"arm\"}}scratch{{else}}" + registry + "/library/base:1{{end}}"},
			{Name: "local", Binaries: []string{"server"}, Registries: []string{}},
			{Name: "untagged", Binaries: []string{"server"}, Tags: []string{}, Platforms: []string{"linux/arm64"}},
		},
	}
	at := filepath.Join(dir, "records")
	for i, platforms := range [][]string{{"linux/arm/v7", "linux/amd64"}, {"linux/arm64"}} {
		o := Overrides{Platforms: platforms, Output: filepath.Join("records", string(rune('a'+i)))}
		records, err := plan(t, dir, p, o).Push(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != 3*len(platforms)+i {
			t.Errorf("%d records for %v: %+v", len(records), platforms, records)
		}
	}

	merging, events := watched(t, dir, p, Overrides{Output: "merged"})
	merged, err := merging.Merge(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.events {
		if e.Step != StepPush && e.Step != StepDetail {
			t.Errorf("merging took a step %s of %s", e.Step, e.Subject)
		}
	}
	onOne, err := plan(t, dir, p, Overrides{Output: "one"}).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, filepath.Join(dir, "merged", "images.json")), read(t, filepath.Join(dir, "one", "images.json")); got != want {
		t.Errorf("images.json differs: %s", difference(want, got))
	}
	for i, image := range onOne {
		for j := range image.Platforms {
			image.Platforms[j].Elapsed = 0
		}
		for _, done := range image.Published {
			if len(done.Written)+len(done.Failed) > 0 || !slices.Equal(done.Current, image.Tags) || done.Err != nil {
				t.Errorf("image %s: after the merge, one machine had to publish: %+v", image.Name, done)
			}
		}
		if !reflect.DeepEqual(image.Platforms, merged[i].Platforms) {
			t.Errorf("image %s: platforms %+v\nwant %+v", image.Name, merged[i].Platforms, image.Platforms)
		}
		for _, ref := range image.Refs {
			if err := validate.Index(testenv.Pull(t, ref.String())); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
		}
	}

	// Without a registry that they were pushed to, and with none at all.
	for registries, want := range map[string]string{registry + "/third": "was not pushed to " + registry + "/third/server", "": "registries: none is configured"} {
		o := Overrides{Registries: []string{}}
		if registries != "" {
			o.Registries = []string{registries}
		}
		if _, err := plan(t, dir, p, o).Merge(t.Context(), at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("registries %q: error %v, want %s", registries, err, want)
		}
	}
}

// A reference is one base for all images of a run, as it is on one machine.
func TestMergeBasesOfSeveralImages(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	ref := registry + "/library/base:1"
	p := Project{
		Version: "1.0", Registries: []string{registry}, Platforms: []string{"linux/amd64", "linux/arm64"},
		Images: []Image{
			{Name: "one", Binaries: []string{"server"}, Base: ref, Platforms: []string{"linux/amd64"}},
			{Name: "two", Binaries: []string{"server"}, Base: ref, Platforms: []string{"linux/arm64"}},
		},
	}
	at := filepath.Join(dir, "records")
	for i, platform := range p.Platforms {
		base := testenv.Tiny()
		base.Config = func(_ string, c *v1.ConfigFile) { c.Config.User = strconv.Itoa(1000 + i) } // the tag moves
		testenv.Push(t, ref, base.Index(t))
		if _, err := plan(t, dir, p, Overrides{Platforms: []string{platform}, Output: filepath.Join("records", strconv.Itoa(i))}).Push(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), at)
	for _, want := range []string{"base " + ref + " is not the same for all platforms", "one+linux-amd64.json", "two+linux-arm64.json"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v doesn't say %q", err, want)
		}
	}
}

// The images themselves say what they are for.
func TestMergeComparesImages(t *testing.T) {
	dir := project(t, oneMain())
	p := Project{
		Version: "1.0", Registries: []string{testenv.MemoryRegistry(t)}, Platforms: []string{"linux/amd64", "linux/arm64"},
		Images:   []Image{{Name: "one", Binaries: []string{"server"}}, {Name: "two", Binaries: []string{"server"}}},
		Evidence: []string{}, // whose contents would tell, too
	}
	at := filepath.Join(dir, "dist", "digests")
	if _, err := plan(t, dir, p, Overrides{}).Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	const digests = `(?s)"containerimage.digest": "([^"]*)".*"containerimage.config.digest": "([^"]*)".*"size": (\d+),\s*"digest": "([^"]*)".*\n  "size": (\d+)`
	swap := func(a, b string) {
		t.Helper()
		a, b = filepath.Join(at, a+".json"), filepath.Join(at, b+".json")
		one, other := read(t, a), read(t, b)
		find := regexp.MustCompile(digests)
		x, y := find.FindStringSubmatchIndex(one), find.FindStringSubmatchIndex(other)
		take := func(to string, at []int, from string, have []int) string {
			for i := len(at) - 2; i >= 2; i -= 2 {
				to = to[:at[i]] + from[have[i]:have[i+1]] + to[at[i+1]:]
			}
			return to
		}
		write(t, a, take(one, x, other, y))
		write(t, b, take(other, y, one, x))
	}
	merge := func() error {
		_, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), at)
		return err
	}
	swap("one+linux-amd64", "one+linux-arm64")
	err := merge() // of the first that is found
	said := regexp.MustCompile(`it is for "linux/(arm64|amd64)", but .*one\+linux-(amd64|arm64).json says for linux/(amd64|arm64): run Builder.Push for`)
	if err == nil || !said.MatchString(err.Error()) {
		t.Errorf("platforms swapped: %v", err)
	}
	swap("one+linux-amd64", "one+linux-arm64")
	swap("one+linux-amd64", "two+linux-amd64")
	if err := merge(); err == nil {
		t.Error("images swapped: no error")
	}
	swap("one+linux-amd64", "two+linux-amd64")
	if err := merge(); err != nil {
		t.Error(err)
	}
	// Of another version, and said to be of this one.
	other := p
	other.Version = "1.1"
	if _, err := plan(t, dir, other, Overrides{}).Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"one", "two"} {
		for _, platform := range []string{"amd64", "arm64"} {
			name := filepath.Join(at, image+"+linux-"+platform+".json")
			write(t, name, strings.Replace(read(t, name), `"version": "1.1"`, `"version": "1.0"`, 1))
		}
	}
	if err, want := merge(), `its label org.opencontainers.image.version is "1.1", but has to be "1.0" for the image in `; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("another version: error %v, want %s", err, want)
	}
}

// What one machine's Go can't be two of is not two for an index.
func TestMergeToolchains(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	p := Project{
		Version: "1.0", Registries: []string{registry}, Platforms: []string{"linux/amd64", "linux/arm64"},
		Go:     GoBuild{Ldflags: "-X main.version={{.Arch}}"},
		Images: []Image{{Name: "one", Binaries: []string{"server"}}, {Name: "two", Binaries: []string{"server"}, Platforms: []string{"linux/arm64"}}},
	}
	push := func(p Project, platform, to string) {
		t.Helper()
		o := Overrides{Platforms: []string{platform}, Output: filepath.Join("records", to)}
		if _, err := plan(t, dir, p, o).Push(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	merge := func() error {
		_, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), filepath.Join(dir, "records"))
		return err
	}
	refused := func(wants ...string) {
		t.Helper()
		err := merge()
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v\ndoesn't say %q", err, want)
			}
		}
	}
	amd64 := filepath.Join(dir, "records", "amd64", "digests", "one+linux-amd64.json")
	push(p, "linux/amd64", "amd64")
	push(p, "linux/arm64", "arm64")
	t.Setenv("GOFLAGS", "-tags=merge") // of the machine that compiles nothing
	if err := merge(); err != nil {
		t.Errorf("templates with the platform in them are another build: %v", err)
	}
	push(p, "linux/arm64", "arm64")
	refused("GOFLAGS, GOEXPERIMENT and GOFIPS140 were not the same", amd64, "arm64/digests/one+linux-arm64.json", "two+linux-arm64.json")
	t.Setenv("GOFLAGS", "")
	p.Go.Tags = []string{"other"}
	push(p, "linux/arm64", "arm64")
	refused("image one: how its binaries are built", amd64)
	push(p, "linux/amd64", "amd64")
	write(t, amd64, strings.Replace(read(t, amd64), runtime.Version(), "go1.99.1", 1))
	refused("go is not the same version everywhere, but go1.99.1 in "+amd64+"; "+runtime.Version()+" in ", "one+linux-arm64.json", "two+linux-arm64.json")
}

// Of the settings, those count that change what is built.
func TestSettings(t *testing.T) {
	dir := project(t, oneMain())
	settings := func(env, value string) string {
		t.Helper()
		if env != "" {
			t.Setenv(env, value)
			defer t.Setenv(env, "")
		}
		return plan(t, dir, Project{}, Overrides{}).Go.settings()
	}
	base := settings("", "")
	for _, tt := range []struct {
		env, value string
		same       bool
	}{
		{"GOFLAGS", "-p=3 -v -modcacherw --x", true},
		{"GOFLAGS", "-tags=x", false},
		{"GOFLAGS", "-ldflags=-s", false},
		{"GOFLAGS", "-mod=mod", false},
		{"GOEXPERIMENT", "nosimd", false},
		{"GOFIPS140", "latest", false},
		{"GOAMD64", "v3", true}, // is the platform's
	} {
		if got := settings(tt.env, tt.value); (got == base) != tt.same {
			t.Errorf("%s=%s: settings %s, without it %s, want the same: %v", tt.env, tt.value, got, base, tt.same)
		}
	}
}

// The folder may be what a run of Push is about to replace: records are read
// once it is done.
func TestMergeWaitsForPush(t *testing.T) {
	dir := project(t, oneMain())
	p := Project{Version: "1.0", Registries: []string{testenv.MemoryRegistry(t)}, Platforms: []string{"linux/amd64"}}
	if _, err := plan(t, dir, p, Overrides{}).Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	digests, away := filepath.Join(dir, "dist", "digests"), filepath.Join(dir, "away")
	if err := os.Rename(digests, away); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.TryLock(filepath.Join(dir, "dist", ".multimage", "lock"), "process 4711 (mage ci:push)")
	if err != nil {
		t.Fatal(err)
	}
	merging := plan(t, dir, p, Overrides{})
	merging.progress = func(e Event) {
		if e.Step == StepWait {
			if err := errors.Join(os.Rename(away, digests), lock.Unlock()); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := merging.Merge(t.Context(), digests); err != nil {
		t.Error(err)
	}
}

// What failed is known tag by tag; the list of what is published stays that of
// the last time all was.
func TestManifestTells(t *testing.T) {
	dir := project(t, oneMain())
	registry, refusing := testenv.MemoryRegistry(t), refusingRegistry(t)
	o := Overrides{Platforms: []string{"linux/amd64"}}
	p := Project{Version: "1.0", Tags: []string{"{{.Version}}", "latest"}, Registries: []string{registry + "/acme"}}
	if _, err := plan(t, dir, p, o).Manifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Join(dir, "dist"))
	p.Tags, p.Registries = append(p.Tags, "more"), append(p.Registries, refusing)
	failed, err := plan(t, dir, p, o).Manifest(t.Context())
	if err == nil || len(failed) != 1 {
		t.Fatalf("error %v, results %+v", err, failed)
	}
	done := failed[0].Published
	if want := (Publication{Repository: registry + "/acme/server", Written: []string{"more"}, Current: []string{"1.0", "latest"}}); !reflect.DeepEqual(done[0], want) {
		t.Errorf("published %+v, want %+v", done[0], want)
	}
	if done[1].Err == nil || !slices.Equal(done[1].Failed, []string{"1.0", "latest", "more"}) || !strings.Contains(err.Error(), done[1].Err.Error()) {
		t.Errorf("published %+v, error %v", done[1], err)
	}
	if want := []Ref{{registry + "/acme/server", failed[0].Digest}}; !slices.Equal(failed[0].Refs, want) {
		t.Errorf("refs %v, want %v", failed[0].Refs, want)
	}
	after := snapshot(t, filepath.Join(dir, "dist"))
	for name := range after {
		if strings.HasPrefix(name, "oci/") { // has the new tag
			delete(after, name)
			delete(before, name)
		}
	}
	equal(t, "dist", after, before)
	var list []ImageResult
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "dist", "images.json"))), &list); err != nil || slices.Contains(list[0].Tags, "more") {
		t.Errorf("images.json %+v, %v", list, err)
	}
}
