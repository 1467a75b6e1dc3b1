package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// readLayout returns the descriptors of a layout, after validating what they
// refer to.
func readLayout(t *testing.T, dir string) []v1.Descriptor {
	t.Helper()
	idx, err := ggcr.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Error(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Manifests
}

// files returns the identities of all files of a layout.
func files(t *testing.T, dir string) map[string]disk.Identity {
	t.Helper()
	all := map[string]disk.Identity{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = disk.Identify(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func blobFile(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", h.Hex) }

func TestWriteLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	idx := testenv.TwoPlatforms(t)
	o := LayoutOptions{Tags: []string{"v1", "latest"}}
	if err := WriteLayout(t.Context(), dir, idx, o); err != nil {
		t.Fatal(err)
	}
	list := readLayout(t, dir)
	if len(list) != 2 {
		t.Fatalf("descriptors: %+v", list)
	}
	for i, d := range list {
		if d.Annotations[refName] != o.Tags[i] || d.Digest != testenv.Digest(t, idx) || d.MediaType == "" || d.Size == 0 {
			t.Errorf("descriptor %d: %+v", i, d)
		}
	}
	before := files(t, dir)
	if len(before) != 2+1+2+5 {
		t.Errorf("%d files: %q", len(before), slices.Sorted(maps.Keys(before)))
	}

	t.Run("unchanged", func(t *testing.T) {
		if err := WriteLayout(t.Context(), dir, unreadable{idx}, o); err != nil {
			t.Fatal(err)
		}
		if after := files(t, dir); !maps.Equal(before, after) {
			t.Error("files were touched")
		}
	})
	t.Run("other tags", func(t *testing.T) {
		if err := WriteLayout(t.Context(), dir, idx, LayoutOptions{}); err != nil {
			t.Fatal(err)
		}
		list := readLayout(t, dir)
		if len(list) != 1 || len(list[0].Annotations) != 0 {
			t.Errorf("descriptors: %+v", list)
		}
	})
	t.Run("corrupt blobs", func(t *testing.T) {
		for i, spoil := range []func(path string) error{
			os.Remove,
			func(path string) error { return os.Truncate(path, 10) },
			func(path string) error {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteAt([]byte("x"), 20)
				return errors.Join(err, f.Close())
			},
		} {
			for path := range files(t, filepath.Join(dir, "blobs")) {
				os.Chmod(path, 0o644)
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := WriteLayout(t.Context(), dir, idx, o); err != nil {
				t.Fatalf("spoiler %d: %v", i, err)
			}
			readLayout(t, dir)
		}
	})
	t.Run("another index", func(t *testing.T) {
		other := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 100)))
		if err := WriteLayout(t.Context(), dir, other, o); err != nil {
			t.Fatal(err)
		}
		readLayout(t, dir)
		if n := len(files(t, dir)); n != 2+1+1+2 {
			t.Errorf("%d files, want the old ones swept", n)
		}
	})
}

// unreadable is an index whose images can't be had.
type unreadable struct{ imageIndex }

type imageIndex = interface {
	Digest() (v1.Hash, error)
	IndexManifest() (*v1.IndexManifest, error)
	ImageIndex(v1.Hash) (v1.ImageIndex, error)
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
	Size() (int64, error)
}

func (unreadable) Image(v1.Hash) (v1.Image, error) { return nil, errors.New("looked at an image") }

// A run that is killed, or fails, leaves the previous layout; the next run
// sweeps what it left.
func TestWriteLayoutInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	idx := testenv.TwoPlatforms(t)
	if err := WriteLayout(t.Context(), dir, idx, LayoutOptions{}); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	big := testenv.Broken(testenv.RandomLayer(t, 1000), syscall.ENOSPC)
	other := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 50), big))
	err := WriteLayout(t.Context(), dir, other, LayoutOptions{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "layout "+dir+": blob sha256:") {
		t.Errorf("got %v", err)
	}
	if list := readLayout(t, dir); list[0].Digest != testenv.Digest(t, idx) {
		t.Error("the previous layout is gone")
	}
	if after := files(t, dir); len(after) != len(before)+1 {
		t.Errorf("%d files, want those of before and one blob", len(after))
	}
	if err := WriteLayout(t.Context(), dir, idx, LayoutOptions{}); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("%d files, want those of before", len(after))
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	if err := WriteLayout(ctx, dir, other, LayoutOptions{}); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

// A layer that changed since it was hashed is not written.
func TestWriteLayoutWrongContent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	wrong := testenv.Broken(testenv.RandomLayer(t, 1000), io.EOF)
	err := WriteLayout(t.Context(), dir, testenv.Index(testenv.Image(t, "amd64", wrong)), LayoutOptions{})
	if err == nil || !strings.Contains(err.Error(), "its content has the digest sha256:") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		t.Error("there is an index.json")
	}
}

func TestWriteLayoutLinks(t *testing.T) {
	parent := t.TempDir()
	shared := testenv.RandomLayer(t, 5000)
	h, _ := shared.Digest()
	cached := filepath.Join(parent, "cached")
	rc, _ := shared.Compressed()
	content, _ := io.ReadAll(rc)
	if err := os.WriteFile(cached, content, 0o444); err != nil {
		t.Fatal(err)
	}
	calls := 0
	o := LayoutOptions{Link: func(want v1.Hash, dst, tmp string) error {
		calls++
		if got, err := os.ReadFile(cached); want != h || err != nil || !bytes.Equal(got, content) {
			return fmt.Errorf("blob %s: %w", want, fs.ErrNotExist)
		}
		return disk.Link(t.Context(), cached, dst, tmp, h)
	}}
	idx := testenv.Index(testenv.Image(t, "amd64", shared, testenv.RandomLayer(t, 50)))
	dir := filepath.Join(parent, "app")
	write := func(dir string) {
		t.Helper()
		if err := WriteLayout(t.Context(), dir, idx, o); err != nil {
			t.Fatal(err)
		}
		readLayout(t, dir)
	}
	write(dir)
	write(dir)
	if calls != 3 { // two layers and the config, once
		t.Errorf("%d calls of Link, want 3", calls)
	}
	a, _ := os.Stat(cached)
	b, err := os.Stat(blobFile(dir, h))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("the blob is not a link: %v", err)
	}
	// Another layout that links the same blob changes its identity.
	write(filepath.Join(parent, "sibling"))
	calls = 0
	write(dir)
	write(dir)
	if calls != 1 {
		t.Errorf("%d calls of Link, want 1", calls)
	}
	// An edit in place spoils the source, too.
	os.Chmod(cached, 0o644)
	if err := os.WriteFile(cached, []byte("spoilt"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(dir)

	broken := errors.New("no links today")
	o.Link = func(v1.Hash, string, string) error { return broken }
	if err := WriteLayout(t.Context(), filepath.Join(parent, "third"), idx, o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A folder that we didn't write is left alone.
func TestWriteLayoutRefusesForeign(t *testing.T) {
	o := LayoutOptions{Tags: []string{"v1"}}
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
			for _, err := range []error{CheckLayout(t.Context(), dir, o), WriteLayout(t.Context(), dir, testenv.TwoPlatforms(t), o)} {
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
	if err := WriteLayout(t.Context(), dir, testenv.TwoPlatforms(t), o); err != nil {
		t.Error(err)
	}
}

// What others add to a layout of ours stays, and works.
func TestWriteLayoutKeepsWhatOthersAdded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	first, second := testenv.TwoPlatforms(t), testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 70)))
	o := LayoutOptions{Tags: []string{"v1"}}
	if err := WriteLayout(t.Context(), dir, first, o); err != nil {
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
	if err := p.AppendImage(img, ggcr.WithAnnotations(map[string]string{refName: "theirs"})); err != nil {
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
			all = append(all, d.Annotations[refName])
		}
		return all
	}
	o.Tags = []string{"v2", "latest"}
	for range 2 {
		if err := WriteLayout(t.Context(), dir, second, o); err != nil {
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
	if err := WriteLayout(t.Context(), dir, unreadable{second}, o); err != nil {
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
	if err := WriteLayout(t.Context(), dir, second, o); err != nil {
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
			o := LayoutOptions{Tags: []string{"v1", "latest"}, Private: filepath.Join(t.TempDir(), "private")}
			if err := WriteLayout(t.Context(), dir, testenv.TwoPlatforms(t), o); err != nil {
				t.Fatal(err)
			}
			if err := lose(o.Private); err != nil {
				t.Fatal(err)
			}
			o.Tags = []string{"v2"}
			if err := WriteLayout(t.Context(), dir, testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 70))), o); err != nil {
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

func TestWriteLayoutEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	if err := WriteLayout(t.Context(), dir, empty.Index, LayoutOptions{Tags: []string{"v1"}}); err != nil {
		t.Fatal(err)
	}
	if list := readLayout(t, dir); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestSkopeo(t *testing.T) {
	testenv.Require(t, "skopeo")
	dir := filepath.Join(t.TempDir(), "app")
	idx := testenv.TwoPlatforms(t)
	if err := WriteLayout(t.Context(), dir, idx, LayoutOptions{Tags: []string{"v1", "latest"}}); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"v1", "latest"} {
		out, err := exec.Command("skopeo", "inspect", "--override-arch", "arm64", fmt.Sprintf("oci:%s:%s", dir, tag)).Output()
		if err != nil {
			t.Fatalf("tag %s: %v", tag, err)
		}
		var got struct {
			Architecture string
			Digest       string
			Layers       []string
		}
		if err := json.Unmarshal(out, &got); err != nil || got.Architecture != "arm64" || len(got.Layers) != 2 || got.Digest != testenv.Digest(t, idx).String() {
			t.Errorf("tag %s: %s (%v)", tag, out, err)
		}
	}
}
