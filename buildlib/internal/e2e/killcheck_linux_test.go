package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib"
)

// killing is the project whose runs are killed, and what is known of it.
type killing struct {
	*tinyProject
	random        *rand.Rand
	registry      *killRegistry
	output, cache string
	source        int      // which source there is now
	want          []wanted // by source
	seen          map[string]*seen

	rounds, ended int
	missed        int // runs that ended, since the last kill
	hits          map[string]int
	last          string // the round, for messages
}

// sources is how many sources the project has had.
const sources = 2

// wanted is what comes of a source, as runs in another folder made it.
type wanted struct {
	layouts  map[string]map[string]v1.Hash // by share of the platforms, and image
	children map[string]v1.Hash            // by image and platform
	binaries map[string]string             // hash by path below bin
	results  string                        // images.json
	records  string                        // the folder of ci:push's records
	images   string                        // the folder of the layouts of all platforms
}

// shares are what runners build, one platform each.
var shares = []string{"linux/amd64", "linux/arm64"}

func newKilling(t *testing.T, random *rand.Rand) *killing {
	t.Helper()
	k := &killing{random: random, registry: newKillRegistry(t), hits: map[string]int{}, seen: map[string]*seen{}}
	k.tinyProject = newTinyProject(t, buildlib.Project{
		Registries: []string{k.registry.host + "/acme"}, Tags: []string{"{{.Version}}", "latest"},
		Images: []buildlib.Image{{Name: "one", Binaries: []string{"one", "two"}}, {Name: "two", Base: k.registry.host + "/base:1"}},
	}, map[string]string{"cmd/two/main.go": "package main\n\nfunc main() { println(2) }\n"})
	k.output = filepath.Join(k.dir, "dist")
	k.cache = filepath.Join(t.TempDir(), "cache")
	for source := range sources {
		k.setSource(t, source)
		k.want = append(k.want, k.wanted(t))
	}
	for _, target := range killTargets {
		// A guess, until some have been seen.
		k.seen[target] = &seen{stages: map[string]int{}, took: map[bool]time.Duration{false: time.Second, true: 2 * time.Second}}
	}
	return k
}

// setSource makes the source the numbered one.
func (k *killing) setSource(t *testing.T, n int) {
	t.Helper()
	k.source = n
	writeFile(t, filepath.Join(k.dir, "cmd", "one", "main.go"), fmt.Sprintf("package main\n\nfunc main() { println(%d) }\n", n))
}

// runEnv is the environment of a run.
func (k *killing) runEnv(share string) []string {
	return []string{"MULTIMAGE_PLATFORMS=" + share, fmt.Sprint("MULTIMAGE_VERSION=v", k.source), "MULTIMAGE_CACHE=" + k.cache}
}

// wanted builds the source where nothing is killed.
func (k *killing) wanted(t *testing.T) wanted {
	t.Helper()
	w := wanted{layouts: map[string]map[string]v1.Hash{}, children: map[string]v1.Hash{}, images: filepath.Join(t.TempDir(), "oci")}
	output := t.TempDir()
	at := func(share string, args ...string) {
		env := append(append(k.env, k.runEnv(share)...), "MULTIMAGE_OUTPUT="+output, "MULTIMAGE_CACHE="+filepath.Join(output, "cache"))
		run(t, k.dir, env, k.tool, args...)
	}
	for _, share := range shares {
		at(share, "ci:push")
		w.layouts[share] = layouts(t, output)
	}
	at("", "manifest")
	w.layouts[""] = layouts(t, output)
	data, err := os.ReadFile(filepath.Join(output, "images.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.results = string(data)
	var images []buildlib.ImageResult
	if err := json.Unmarshal(data, &images); err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		for _, p := range image.Platforms {
			w.children[image.Name+" "+p.Platform.String()] = p.Digest
		}
	}
	w.binaries = hashes(t, filepath.Join(output, "bin"))
	w.records = filepath.Join(output, "digests")
	if err := os.CopyFS(w.images, os.DirFS(filepath.Join(output, "oci"))); err != nil {
		t.Fatal(err)
	}
	return w
}

// prepare makes the world in which a round begins.
func (k *killing) prepare(t *testing.T, c choice) {
	t.Helper()
	k.setSource(t, c.source)
	if c.fresh.output {
		k.remove(t, k.output)
	}
	if c.fresh.cache {
		k.remove(t, k.cache)
	}
	if c.fresh.registry {
		k.registry.empty(t)
	}
	if c.target == "ci:merge" {
		k.pushChildren(t, c.source)
		k.pushChildren(t, c.next)
	}
}

func (k *killing) remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// pushChildren pushes the images of a source by digest, as ci:push does.
func (k *killing) pushChildren(t *testing.T, source int) {
	t.Helper()
	for image := range k.want[source].layouts[""] {
		index := openLayout(t, filepath.Join(k.want[source].images, image))
		m, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range m.Manifests {
			img, err := index.Image(child.Digest)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := name.NewDigest(k.registry.host+"/acme/"+image+"@"+child.Digest.String(), name.Insecure)
			if err == nil {
				err = remote.Write(ref, img)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// survived looks at what a killed run left. Whatever is there is whole, and
// something that a run makes: that one or an earlier one. Layouts that were there still are.
func (k *killing) survived(t *testing.T, before []string) {
	t.Helper()
	for _, file := range before {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("layout: %v", err)
		}
	}
	for tag, digest := range k.registry.tags(t) {
		_, image, _ := strings.Cut(strings.TrimSuffix(tag, ":latest"), "/")
		image, _, _ = strings.Cut(image, ":")
		if !strings.HasPrefix(tag, "base:") && !isReferrers(tag) && !k.known(func(w wanted) bool { return w.layouts[""][image] == digest }) {
			t.Errorf("tag %s: points to %s, which no run has made", tag, digest)
		}
	}
	for image, digest := range layouts(t, k.output) {
		if !k.known(func(w wanted) bool {
			return w.layouts[""][image] == digest || w.layouts[shares[0]][image] == digest || w.layouts[shares[1]][image] == digest
		}) {
			t.Errorf("layout %s: holds %s, which no run has made", image, digest)
		}
	}
	for path, hash := range hashes(t, filepath.Join(k.output, "bin")) {
		if !k.known(func(w wanted) bool { return w.binaries[path] == hash }) {
			t.Errorf("binary %s: %s, which no run has made", path, hash)
		}
	}
	results, err := os.ReadFile(filepath.Join(k.output, "images.json"))
	if !errors.Is(err, fs.ErrNotExist) && !k.known(func(w wanted) bool { return w.results == string(results) }) {
		t.Errorf("images.json: no run has made\n%s", results)
	}
	for name := range k.records(t) {
		if !k.known(func(w wanted) bool { return w.children[name] != v1.Hash{} }) {
			t.Errorf("records: %s isn't of the project", name)
		}
	}
	k.wholeCache(t)
}

// isReferrers reports whether a tag is the list of what refers to an image, which
// registries without the referrers API are given.
func isReferrers(tag string) bool {
	return strings.Contains(tag, ":sha256-")
}

func (k *killing) known(is func(w wanted) bool) bool {
	for _, w := range k.want {
		if is(w) {
			return true
		}
	}
	return false
}

// wholeCache fails for blobs in the cache that aren't what they are called.
func (k *killing) wholeCache(t *testing.T) {
	t.Helper()
	for name, hash := range hashes(t, filepath.Join(k.cache, "blobs", "sha256")) {
		if name != hash {
			t.Errorf("cache: the blob %s has the digest %s", name, hash)
		}
	}
}

// check looks at what a run left that ended: what it was to make, and nothing
// else.
func (k *killing) check(t *testing.T, c choice) {
	t.Helper()
	want := k.want[k.source]
	equal := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if c.target != "ci:merge" {
		equal("layouts", layouts(t, k.output), want.layouts[c.share])
		for _, file := range layoutFiles(k.output) {
			dir := filepath.Dir(file)
			needed := blobsOf(t, openLayout(t, dir))
			for blob := range hashes(t, filepath.Join(dir, "blobs", "sha256")) {
				if !needed[blob] {
					t.Errorf("left: layout %s has the blob %s", dir, blob)
				}
			}
		}
		got := hashes(t, filepath.Join(k.output, "bin"))
		for path, hash := range want.binaries {
			if strings.HasPrefix(path, c.share) {
				equal("binary "+path, got[path], hash)
			}
		}
	}
	tags := k.registry.tags(t)
	if c.target == "manifest" || c.target == "ci:merge" {
		for image, digest := range want.layouts[""] {
			equal("tag latest of "+image, tags["acme/"+image+":latest"], digest)
			equal("tag of "+image, tags[fmt.Sprint("acme/", image, ":v", k.source)], digest)
		}
		results, err := os.ReadFile(filepath.Join(k.output, "images.json"))
		equal("images.json", fmt.Sprint(string(results), err), fmt.Sprint(want.results, error(nil)))
	}
	if c.target == "ci:push" {
		got := k.records(t)
		for name, digest := range want.children {
			image, platform, _ := strings.Cut(name, " ")
			record, ok := got[name]
			if ok || strings.HasPrefix(platform, c.share) {
				equal("record of "+name, record, digest)
			}
			if status, _ := k.registry.ask("HEAD", "/v2/acme/"+image+"/manifests/"+digest.String()); strings.HasPrefix(platform, c.share) && status != 200 {
				t.Errorf("%s isn't in the registry: status %d", name, status)
			}
		}
	}
	k.wholeCache(t)
	k.swept(t)
}

// records are the digests in dist/digests, by image and platform.
func (k *killing) records(t *testing.T) map[string]v1.Hash {
	t.Helper()
	found := map[string]v1.Hash{}
	files, _ := os.ReadDir(filepath.Join(k.output, "digests"))
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(k.output, "digests", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var r buildlib.Record
		if err := json.Unmarshal(data, &r); err != nil {
			t.Errorf("record %s: %v:\n%s", f.Name(), err, data)
		}
		found[r.Image+" "+r.Platform.String()] = r.Digest
	}
	return found
}

// swept fails for files that only a run under way has.
func (k *killing) swept(t *testing.T) {
	t.Helper()
	for _, dir := range []string{k.output, k.cache} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			for _, temporary := range []string{"run-", "write-", "link-", "blob-", "go-build", "go-link"} {
				if strings.HasPrefix(d.Name(), temporary) {
					t.Errorf("left: %s", path)
				}
			}
			if d.Name() == "tmp" {
				entries, err := os.ReadDir(path)
				if err != nil {
					return err
				}
				if len(entries) != 1 || entries[0].Name() != "lock" {
					t.Errorf("left: %s with %v", path, entries)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
