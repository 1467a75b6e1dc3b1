package buildlib

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	memoryregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func sum(digit string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}
}

// aRecord is a whole one.
func aRecord() Record {
	return Record{
		Format: recordFormat, Image: "team/router", Platform: Platform{"linux", "arm", "v7"},
		Digest: sum("a"), ConfigDigest: sum("b"),
		Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 700, Digest: sum("a"),
			Platform: &v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
		Size: 31_400_000, Version: "v1.2.3", Revision: strings.Repeat("c", 40), Created: time.Unix(1750000000, 0).UTC(),
		Base:         &RecordBase{Name: "docker.io/library/alpine:3.24", Index: sum("d"), Child: sum("e")},
		Go:           RecordGo{"go1.26.8", shortHash("settings"), shortHash("build")},
		Repositories: []string{"ghcr.io/acme/team/router"},
	}
}

// A record is a contract between machines that may not run the same multimage.
func TestRecord(t *testing.T) {
	r := aRecord()
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "record.golden", string(data))
	again, err := decodeRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	other, err := again.encode()
	if err != nil || string(other) != string(data) {
		t.Errorf("read and written again, it is\n%s\n%v", other, err)
	}
}

func TestRecordDamaged(t *testing.T) {
	for name, damage := range map[string]func(*Record){
		"no format":                func(r *Record) { r.Format = 0 },
		"a format to come":         func(r *Record) { r.Format = 2 },
		"no image":                 func(r *Record) { r.Image = "" },
		"no version":               func(r *Record) { r.Version = "" },
		"no time":                  func(r *Record) { r.Created = time.Time{} },
		"no platform":              func(r *Record) { r.Platform = Platform{} },
		"a platform misspelt":      func(r *Record) { r.Platform = Platform{"linux", "arm", ""} },
		"another platform":         func(r *Record) { r.Platform = Platform{"linux", "arm", "v6"} },
		"no descriptor":            func(r *Record) { r.Descriptor = v1.Descriptor{} },
		"descriptor of an index":   func(r *Record) { r.Descriptor.MediaType = types.OCIImageIndex },
		"no platform described":    func(r *Record) { r.Descriptor.Platform = nil },
		"another digest":           func(r *Record) { r.Digest = sum("f") },
		"another digest described": func(r *Record) { r.Descriptor.Digest = sum("f") },
		"no config":                func(r *Record) { r.ConfigDigest = v1.Hash{} },
		"no size":                  func(r *Record) { r.Size = 0 },
		"less than the manifest":   func(r *Record) { r.Size = 699 },
		"a negative size":          func(r *Record) { r.Descriptor.Size = -1 },
		"no version of Go":         func(r *Record) { r.Go.Version = "" },
		"no settings":              func(r *Record) { r.Go.Settings = "" },
		"no build":                 func(r *Record) { r.Go.Build = "" },
		"no digest of the base":    func(r *Record) { r.Base.Index = v1.Hash{} },
		"escapes":                  func(r *Record) { r.Go.Version = "go1.26\x1b[31m" },
		"lines":                    func(r *Record) { r.Go.Settings = "x\n::error::y" },
		"text turned around":       func(r *Record) { r.Repositories = append(r.Repositories, "ghcr.io/\u202eacme") },
		"a long name":              func(r *Record) { r.Base.Name = strings.Repeat("x", 2000) },
	} {
		t.Run(name, func(t *testing.T) {
			r := aRecord()
			damage(&r)
			data, err := json.Marshal(r) // a zero digest can't be read back
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decodeRecord(data); err == nil {
				t.Errorf("it was taken for whole: %+v", got)
			}
		})
	}
}

// What reads differently for different readers is no record.
func TestRecordHostile(t *testing.T) {
	r := aRecord()
	whole, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"a digest twice":       strings.Replace(string(whole), `"platform":`, `"Containerimage.Digest": "`+sum("f").String()+`", "platform":`, 1),
		"a key twice, below":   strings.Replace(string(whole), `"architecture":`, `"architecture": "arm64", "architecture":`, 1),
		"two records":          string(whole) + string(whole),
		"too large":            string(whole) + strings.Repeat(" ", recordLimit),
		"deep":                 strings.Replace(string(whole), `"platform":`, `"x": `+strings.Repeat("[", 100_000)+`, "platform":`, 1),
		"deep, and whole":      strings.Replace(string(whole), `"platform":`, `"x": `+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`, "platform":`, 1),
		"a malformed digest":   strings.ReplaceAll(string(whole), sum("a").String(), "sha256:"+strings.Repeat("A", 64)),
		"a digest with a path": strings.ReplaceAll(string(whole), sum("a").String(), "sha256:../../"+strings.Repeat("a", 58)),
	} {
		if got, err := decodeRecord([]byte(data)); err == nil {
			t.Errorf("%s: taken for whole: %+v", name, got)
		}
	}
	if _, err := decodeRecord([]byte(strings.Replace(string(whole), `"platform":`, `"of a version to come": {"a": [1, {"a": 2}]}, "platform":`, 1))); err != nil {
		t.Errorf("a key more: %v", err)
	}
}

// Names are file names on every system, and those of GitHub's artifacts.
func TestRecordName(t *testing.T) {
	seen := map[string]string{}
	for _, image := range []string{"a", "a/b", "a-linux", "a/linux", "a.b", "a-linux-arm", "a/linux/arm", "a__b"} {
		for _, platform := range []Platform{{"linux", "arm", "v6"}, {"linux", "arm", "v7"}, {"linux", "amd64", ""}, {"linux", "amd64", "v3"}, {"linux", "arm64", "v9.0"}} {
			name := recordName(item{image, platform})
			if other, ok := seen[name]; ok {
				t.Errorf("%s %s has the name of %s: %s", image, platform, other, name)
			}
			seen[name] = item{image, platform}.String()
			if strings.ContainsAny(name, "\":<>|*?\r\n\\/") || !isRecord(name, nil) {
				t.Errorf("name %q", name)
			}
		}
	}
	for _, foreign := range []string{"package.json", "images.json", "a+b.json", "x+linux-amd64.txt"} {
		if isRecord(foreign, []byte(`{"name":"x"}`)) {
			t.Errorf("%s counts as a record", foreign)
		}
	}
}

// No bytes crash the reader, and what it takes survives being written.
func FuzzRecord(f *testing.F) {
	r := aRecord()
	data, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte(`{"multimage.record":1,"containerimage.descriptor":{"platform":{}}}`))
	f.Add([]byte(`{"multimage.record":1,"created":"9999-12-31T23:59:59+23:59"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if _, err := decodeRecord(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

func TestGather(t *testing.T) {
	dir := t.TempDir()
	r := aRecord()
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(dir, "b", "c", "d e", "f")
	write(t, filepath.Join(deep, "team+router+linux-arm-v7.json"), string(data))
	write(t, filepath.Join(dir, "a", "renamed.json"), string(data))
	write(t, filepath.Join(dir, "a", "README.md"), string(data))
	write(t, filepath.Join(dir, "a", "foreign.json"), strings.Repeat(`[1, 2, 3]`, recordLimit))
	write(t, filepath.Join(dir, "a", "x+linux-amd64.json"), strings.Repeat(" ", recordLimit)+string(data))
	links := os.Symlink(dir, filepath.Join(dir, "b", "loop")) == nil
	if links {
		if err := os.Symlink("renamed.json", filepath.Join(dir, "a", "link.json")); err != nil {
			t.Fatal(err)
		}
	}
	// A pipe that nobody writes to would be read for ever.
	_ = exec.Command("mkfifo", filepath.Join(dir, "a", "pipe.json")).Run()

	at := dir
	if links { // dir itself may be one
		at = filepath.Join(t.TempDir(), "gathered")
		if err := os.Symlink(dir, at); err != nil {
			t.Fatal(err)
		}
	}
	list, damaged, err := gather(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range list {
		rel, err := filepath.Rel(at, f.path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.ToSlash(rel))
	}
	if want := []string{"a/renamed.json", "b/c/d e/f/team+router+linux-arm-v7.json"}; !slices.Equal(paths, want) {
		t.Errorf("records %q, want %q", paths, want)
	}
	if len(damaged) != 1 || !strings.Contains(damaged[0].Error(), "x+linux-amd64.json: the record is damaged: more than 16777216 bytes") {
		t.Errorf("damaged %v", damaged)
	}
}

// Records are of one commit: those of an earlier one don't wait for a merge
// that takes them, and what isn't a record is not ours to remove.
func TestPushReplacesRecords(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	push := func(version string, platforms, registries []string) []string {
		t.Helper()
		p := plan(t, dir, Project{Version: version}, Overrides{Platforms: platforms, Registries: registries})
		if _, err := p.Push(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Join(dir, "dist", "digests"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	amd64, arm64 := []string{"linux/amd64"}, []string{"linux/arm64"}
	one, both := []string{registry}, []string{registry, registry + "/more"}
	check := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("records %q, want %q", got, want)
		}
	}
	check(push("1.0", amd64, one), "server+linux-amd64.json")
	check(push("1.0", arm64, one), "server+linux-amd64.json", "server+linux-arm64.json")
	digests := filepath.Join(dir, "dist", "digests")
	write(t, filepath.Join(digests, "mine.json"), "{}")
	write(t, filepath.Join(digests, "other+linux-amd64.json"), "{")
	check(push("1.1", arm64, one), "mine.json", "server+linux-arm64.json")
	check(push("1.1", arm64, both), "mine.json", "server+linux-arm64.json")
	r, err := decodeRecord([]byte(read(t, filepath.Join(digests, "server+linux-arm64.json"))))
	if err != nil || !slices.Equal(r.Repositories, []string{registry + "/server", registry + "/more/server"}) || r.Version != "1.1" {
		t.Errorf("record %+v, %v", r, err)
	}
	if text := read(t, filepath.Join(digests, "server+linux-arm64.json")); strings.Contains(text, filepath.Base(dir)) {
		t.Errorf("the record names a folder of this machine:\n%s", text)
	}

	// A registry that fails leaves no record, be it of a push before that said
	// the same; of the image that doesn't go there, there is one.
	var down atomic.Bool
	memory := memoryregistry.New(memoryregistry.Logger(log.New(io.Discard, "", 0)))
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		memory.ServeHTTP(w, r)
	}))
	defer failing.Close()
	project := Project{Version: "1.1", Images: []Image{
		{Name: "server", Registries: []string{strings.TrimPrefix(failing.URL, "http://")}},
		{Name: "well", Binaries: []string{"server"}, Registries: []string{registry}},
	}}
	for _, fails := range []bool{false, true} {
		down.Store(fails)
		records, err := plan(t, dir, project, Overrides{Platforms: arm64}).Push(t.Context())
		var images []string
		for _, r := range records {
			images = append(images, r.Image)
		}
		want := []string{"server", "well"}
		if fails {
			want = want[1:]
		}
		if (err != nil) != fails || !slices.Equal(images, want) {
			t.Errorf("registry down: %v, records of %q, error %v", fails, images, err)
		}
		for _, image := range []string{"server", "well"} {
			_, err := os.Stat(filepath.Join(digests, image+"+linux-arm64.json"))
			if (err == nil) != slices.Contains(want, image) {
				t.Errorf("registry down: %v, record of %s: %v", fails, image, err)
			}
		}
	}

	// So does a build that fails.
	write(t, filepath.Join(digests, "server+linux-arm64.json"), "{}")
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), "package main\n\nfunc main() { undefined() }\n")
	if records, err := plan(t, dir, project, Overrides{Platforms: arm64}).Push(t.Context()); err == nil {
		t.Errorf("pushed %v", records)
	}
	if _, err := os.Stat(filepath.Join(digests, "server+linux-arm64.json")); err == nil {
		t.Error("the record is there, though the build failed")
	}
	write(t, filepath.Join(dir, "cmd", "server", "main.go"), program)

	// One that can't be pushed leaves no record that says it was.
	p := plan(t, dir, Project{Version: "1.1"}, Overrides{Platforms: arm64, Registries: []string{registry, refusingRegistry(t)}})
	if records, err := p.Push(t.Context()); err == nil {
		t.Errorf("pushed %v", records)
	}
	if _, err := os.Stat(filepath.Join(digests, "server+linux-arm64.json")); err == nil {
		t.Error("the record of the push before is still there")
	}
}
