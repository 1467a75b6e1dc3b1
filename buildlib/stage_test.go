package buildlib

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// recorder takes a plan's events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of are the finished steps of a kind.
func (r *recorder) of(step Step) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var done []Event
	for _, e := range r.events {
		if e.Step == step && e.Done && e.Err == nil {
			done = append(done, e)
		}
	}
	return done
}

// watched is a plan whose events are recorded.
func watched(t *testing.T, dir string, p Project, o Overrides) (*opened, *recorder) {
	t.Helper()
	resolved, r := plan(t, dir, p, o), &recorder{}
	resolved.progress = r.event
	return resolved, r
}

// snapshot is every file below dir that users look at, with its content's sum.
// What is private to multimage is left out.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".multimage" {
				return fs.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equal(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, sum := range want {
		switch other, ok := got[name]; {
		case !ok:
			t.Errorf("%s: %s is gone", what, name)
		case other != sum:
			t.Errorf("%s: %s changed", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is new", what, name)
		}
	}
}

// valid checks a layout as a stranger would.
func valid(t *testing.T, dir string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("layout %s: %v", dir, err)
	}
}

func images(t *testing.T, p *opened) []ImageResult {
	t.Helper()
	built, err := p.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// Everything works with nothing installed but Go: with no registry, the local
// layout is the result.
func TestManifestWithoutRegistry(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir, "v1.2.3")
	p, events := watched(t, dir, Project{Tags: []string{"{{.Version}}", "latest"}}, Overrides{})
	built, err := p.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(dir, "dist")
	valid(t, filepath.Join(dist, "oci", "server"))
	if got := read(t, filepath.Join(dist, ".gitignore")); got != ignore {
		t.Errorf(".gitignore holds %q: what is built would make the next version dirty", got)
	}
	for _, name := range []string{"linux/amd64/server", "linux/arm64/server"} {
		if info, err := os.Stat(filepath.Join(dist, "bin", name)); err != nil || info.Mode().Perm()&0o111 != 0o111 {
			t.Errorf("binary %s: %v, %v, want an executable", name, info, err)
		}
	}

	var list []map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dist, "images.json"))), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || len(built) != 1 || len(built[0].Platforms) != 2 {
		t.Fatalf("images.json %v, results %v", list, built)
	}
	var platforms []any
	for _, pr := range built[0].Platforms {
		if pr.Size < 100_000 {
			t.Errorf("%s: %d bytes to pull", pr.Platform, pr.Size)
		}
		platforms = append(platforms, map[string]any{"platform": pr.Platform, "digest": pr.Digest.String(), "size": float64(pr.Size)})
	}
	want := map[string]any{
		"name": "server", "version": "v1.2.3", "revision": p.Revision, "digest": built[0].Digest.String(),
		"tags": []any{"v1.2.3", "latest"}, "refs": []any{}, "platforms": platforms,
	}
	if got, want := fmt.Sprint(list[0]), fmt.Sprint(want); got != want {
		t.Errorf("images.json\n%s\nwant\n%s", got, want)
	}

	// A target that needs the images, and one that needs the binaries, run
	// in one process.
	if again := images(t, p); again[0].Digest != built[0].Digest {
		t.Errorf("the second call gave %s, the first %s", again[0].Digest, built[0].Digest)
	}
	if _, err := p.Binaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	for step, n := range map[Step]int{StepCompile: 2, StepImage: 2, StepLayout: 1, StepPush: 0} {
		if got := events.of(step); len(got) != n {
			t.Errorf("%d steps %s, want %d: %v", len(got), step, n, got)
		}
	}
	if started := len(events.events) / 2; started*2 != len(events.events) {
		t.Errorf("not every step that began has ended: %v", events.events)
	}
}

func TestManifestPublishes(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	p, events := watched(t, dir, Project{Version: "1.0", Registries: []string{registry + "/acme"}, Tags: []string{"{{.Version}}", "latest"}}, Overrides{})
	built, err := p.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Ref{registry + "/acme/server", built[0].Digest}
	if !slices.Equal(built[0].Refs, []Ref{want}) || want.String() != registry+"/acme/server@"+built[0].Digest.String() {
		t.Errorf("refs %v, want %v", built[0].Refs, want)
	}
	for _, tag := range built[0].Tags {
		index := testenv.Pull(t, registry+"/acme/server:"+tag)
		if digest, err := index.Digest(); err != nil || digest != built[0].Digest {
			t.Errorf("tag %s is %s, %v, want %s", tag, digest, err, built[0].Digest)
		}
		if err := validate.Index(index); err != nil {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
	if pushed := events.of(StepPush); len(pushed) != 1 || !strings.HasPrefix(pushed[0].Detail, "1.0, latest") {
		t.Errorf("steps %v, want one that pushed both tags", pushed)
	}
}

// A registry that fails leaves the record of what was published as it was.
func TestManifestFails(t *testing.T) {
	dir := project(t, oneMain())
	good := testenv.MemoryRegistry(t)
	o := Overrides{Platforms: []string{"linux/amd64"}, Registries: []string{good}}
	if _, err := plan(t, dir, Project{Version: "1.0"}, o).Manifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Join(dir, "dist"))
	o.Registries = []string{"registry.invalid:5000"}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // giving up takes longer
	defer cancel()
	if published, err := plan(t, dir, Project{Version: "1.0"}, o).Manifest(ctx); err == nil {
		t.Errorf("published %v", published)
	}
	equal(t, "dist", snapshot(t, filepath.Join(dir, "dist")), before)
}

func TestManifestOfNothingToName(t *testing.T) {
	dir := project(t, oneMain())
	p := plan(t, dir, Project{Registries: []string{"ghcr.io/acme"}}, Overrides{})
	_, err := p.Manifest(t.Context())
	if err == nil || !strings.Contains(err.Error(), "set Overrides.Version") {
		t.Errorf("error %v, want one that says what to do", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was built before it was refused: %v", err)
	}
}

func TestSecondRun(t *testing.T) {
	dir := project(t, oneMain())
	first := images(t, plan(t, dir, Project{}, Overrides{}))
	before := snapshot(t, filepath.Join(dir, "dist"))

	p, events := watched(t, dir, Project{}, Overrides{})
	second := images(t, p)
	if first[0].Digest != second[0].Digest {
		t.Errorf("digest %s, then %s", first[0].Digest, second[0].Digest)
	}
	for _, e := range events.of(StepCompile) {
		if e.Detail != "unchanged" {
			t.Errorf("compiling for %s: %q, want unchanged", e.Platform, e.Detail)
		}
	}
	binaries, err := p.Binaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range binaries {
		if !b.Unchanged {
			t.Errorf("%+v is said to have changed", b)
		}
	}
	equal(t, "dist", snapshot(t, filepath.Join(dir, "dist")), before)
}

// Another folder, another output folder and another cache: the same bytes.
func TestReproducible(t *testing.T) {
	one, other := project(t, oneMain()), project(t, oneMain())
	elsewhere := filepath.Join(t.TempDir(), "out of tree", "dist")
	a := images(t, plan(t, one, Project{}, Overrides{}))
	b := images(t, open(t, plan(t, other, Project{}, Overrides{Output: elsewhere}).Plan, Options{Cache: t.TempDir(), Jobs: 2}))
	if a[0].Digest != b[0].Digest {
		t.Errorf("digests %s and %s", a[0].Digest, b[0].Digest)
	}
	if b[0].Layout != filepath.Join(elsewhere, "oci", "server") {
		t.Errorf("the layout is in %s", b[0].Layout)
	}
	equal(t, "dist", snapshot(t, elsewhere), snapshot(t, filepath.Join(one, "dist")))
	if _, err := os.Stat(filepath.Join(other, "dist")); err == nil {
		t.Error("there is a dist in the project, though Output is elsewhere")
	}
}

func TestNoImages(t *testing.T) {
	dir := project(t, oneMain())
	for _, tt := range []struct {
		name    string
		project Project
		over    Overrides
		want    string
	}{
		{"none for linux", Project{Platforms: []string{"windows/amd64"}}, Overrides{}, "the project has no image: none of its binaries is built for a linux platform"},
		{"none left", Project{Binaries: []Binary{{Name: "server", Platforms: []string{"linux/amd64"}}}, Images: []Image{{Name: "server"}}}, Overrides{Platforms: []string{"linux/arm64"}},
			"no image is left: the platforms asked for leave out binary server, image server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := plan(t, dir, tt.project, tt.over).Images(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Two mains whose folders share a name are two programs: -o dir/ would
// silently keep one of them.
func TestMainsOfOneFolderName(t *testing.T) {
	testenv.Slow(t)
	dir := project(t, files{
		"go.mod":                  goMod,
		"public/server/main.go":   strings.Replace(program, "unset", "this is the front", 1),
		"internal/server/main.go": strings.Replace(program, "unset", "this is the back", 1),
	})
	p := plan(t, dir, Project{
		Platforms: []string{"windows/amd64"}, // where go appends a suffix, too
		Binaries:  []Binary{{Name: "front", Package: "./public/server"}, {Name: "back", Package: "./internal/server"}},
	}, Overrides{})
	built, err := p.Binaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, b := range built {
		rel, err := filepath.Rel(filepath.Join(dir, "dist", "bin"), b.Path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.ToSlash(rel))
		if !bytes.Contains([]byte(read(t, b.Path)), []byte("this is the "+b.Name)) {
			t.Errorf("%s is not what its source says", rel)
		}
	}
	want := []string{"windows/amd64/front.exe", "windows/amd64/back.exe"}
	if !slices.Equal(paths, want) {
		t.Errorf("built %v, want %v", paths, want)
	}
}
