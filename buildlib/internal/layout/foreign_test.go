package layout

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// A folder that we didn't write is left alone.
func TestWriteLayoutRefusesForeign(t *testing.T) {
	o := Options{Tags: []string{"v1"}}
	for name, make := range map[string]func(dir string) error{
		"layout": func(dir string) error {
			p, err := ggcr.Write(dir, empty.Index)
			if err == nil {
				err = p.AppendImage(testenv.Image(t, "arm64", testenv.RandomLayer(t, 10)))
			}
			return err
		},
		"file": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644))
		},
		"link": func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"link to blobs": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Symlink(t.TempDir(), filepath.Join(dir, "blobs")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			link := strings.HasPrefix(name, "link")
			var before map[string]disk.Identity
			if !link {
				before = files(t, dir)
			}
			for _, err := range []error{Check(t.Context(), dir, o), Write(t.Context(), dir, testenv.TwoPlatforms(t), o)} {
				if err == nil || !strings.Contains(err.Error(), dir) {
					t.Errorf("error %v, want one that names the folder", err)
				}
			}
			if !link && !maps.Equal(before, files(t, dir)) {
				t.Error("the folder was touched")
			}
		})
	}
	dir := t.TempDir() // empty
	if err := Write(t.Context(), dir, testenv.TwoPlatforms(t), o); err != nil {
		t.Error(err)
	}
}

// What others add to a layout of ours stays, and works.
func TestWriteLayoutKeepsWhatOthersAdded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	first, second := testenv.TwoPlatforms(t), testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 70)))
	o := Options{Tags: []string{"v1"}}
	if err := Write(t.Context(), dir, first, o); err != nil {
		t.Fatal(err)
	}
	// Another image, that shares layers with ours; our own under another
	// name; and a file.
	p, err := ggcr.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := first.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := first.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img, ggcr.WithAnnotations(map[string]string{RefName: "theirs"})); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(dir, "blobs", "sha256", "notes.txt")
	if err := os.WriteFile(notes, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tags := func() []string {
		t.Helper()
		var all []string
		for _, d := range readLayout(t, dir) {
			all = append(all, d.Annotations[RefName])
		}
		return all
	}
	o.Tags = []string{"v2", "latest"}
	for range 2 {
		if err := Write(t.Context(), dir, second, o); err != nil {
			t.Fatal(err)
		}
		if got, want := tags(), []string{"v2", "latest", "theirs"}; !slices.Equal(got, want) {
			t.Errorf("tags %q, want %q", got, want)
		}
		if _, err := os.Stat(notes); err != nil {
			t.Error(err)
		}
	}
	before := files(t, dir)
	if err := Write(t.Context(), dir, unreadable{second}, o); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	if !maps.Equal(before, files(t, dir)) {
		t.Error("unchanged, but touched")
	}
	// Of the first index, what the other image doesn't need is gone.
	if _, err := os.Stat(blobFile(dir, m.Manifests[1].Digest)); err == nil {
		t.Error("a blob of an earlier layout of ours is left")
	}
	// A tag of ours is ours.
	o.Tags = []string{"theirs"}
	if err := Write(t.Context(), dir, second, o); err != nil {
		t.Fatal(err)
	}
	if got := tags(); !slices.Equal(got, []string{"theirs"}) {
		t.Errorf("tags %q", got)
	}
	if n := len(files(t, dir)); n != 2+1+1+2+1 {
		t.Errorf("%d files, want those of the second index and the notes", n)
	}
}

// A layout is known as ours without the notes, too, or with damaged ones.
func TestWriteLayoutWithoutNotes(t *testing.T) {
	for name, lose := range map[string]func(private string) error{
		"lost": os.RemoveAll,
		"damaged": func(private string) error {
			return os.WriteFile(filepath.Join(private, "verified.json"), []byte("{}"), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			o := Options{Tags: []string{"v1", "latest"}, Private: filepath.Join(t.TempDir(), "private")}
			idx := testenv.TwoPlatforms(t)
			m, err := idx.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			o.Images = map[string]v1.Hash{"v1-arm64": m.Manifests[1].Digest}
			if err := Write(t.Context(), dir, idx, o); err != nil {
				t.Fatal(err)
			}
			if list := readLayout(t, dir); len(list) != 3 || list[2].Digest != m.Manifests[1].Digest || list[2].Annotations[RefName] != "v1-arm64" {
				t.Errorf("%+v", list)
			}
			if err := lose(o.Private); err != nil {
				t.Fatal(err)
			}
			o.Tags, o.Images = []string{"v2"}, nil
			if err := Write(t.Context(), dir, testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 70))), o); err != nil {
				t.Fatal(err)
			}
			if list := readLayout(t, dir); len(list) != 1 {
				t.Errorf("%+v", list)
			}
			if n := len(files(t, dir)); n != 2+1+1+2 {
				t.Errorf("%d files, want the old ones swept", n)
			}
		})
	}
}
