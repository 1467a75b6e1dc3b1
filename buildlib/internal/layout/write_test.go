package layout

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
	o := Options{Tags: []string{"v1", "latest"}}
	if err := Write(t.Context(), dir, idx, o); err != nil {
		t.Fatal(err)
	}
	list := readLayout(t, dir)
	if len(list) != 2 {
		t.Fatalf("descriptors: %+v", list)
	}
	for i, d := range list {
		if d.Annotations[RefName] != o.Tags[i] || d.Digest != testenv.Digest(t, idx) || d.MediaType == "" || d.Size == 0 {
			t.Errorf("descriptor %d: %+v", i, d)
		}
	}
	before := files(t, dir)
	if len(before) != 2+1+2+5 {
		t.Errorf("%d files: %q", len(before), slices.Sorted(maps.Keys(before)))
	}

	t.Run("unchanged", func(t *testing.T) {
		if err := Write(t.Context(), dir, unreadable{idx}, o); err != nil {
			t.Fatal(err)
		}
		if after := files(t, dir); !maps.Equal(before, after) {
			t.Error("files were touched")
		}
	})
	t.Run("other tags", func(t *testing.T) {
		if err := Write(t.Context(), dir, idx, Options{}); err != nil {
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
			if err := Write(t.Context(), dir, idx, o); err != nil {
				t.Fatalf("spoiler %d: %v", i, err)
			}
			readLayout(t, dir)
		}
	})
	t.Run("another index", func(t *testing.T) {
		other := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 100)))
		if err := Write(t.Context(), dir, other, o); err != nil {
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
	if err := Write(t.Context(), dir, idx, Options{}); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	big := testenv.Broken(testenv.RandomLayer(t, 1000), syscall.ENOSPC)
	other := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 50), big))
	err := Write(t.Context(), dir, other, Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "layout "+dir+": blob sha256:") {
		t.Errorf("got %v", err)
	}
	if list := readLayout(t, dir); list[0].Digest != testenv.Digest(t, idx) {
		t.Error("the previous layout is gone")
	}
	if after := files(t, dir); len(after) != len(before)+1 {
		t.Errorf("%d files, want those of before and one blob", len(after))
	}
	if err := Write(t.Context(), dir, idx, Options{}); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("%d files, want those of before", len(after))
	}

	// There need not be a previous one.
	first := filepath.Join(t.TempDir(), "app")
	if err := Write(t.Context(), first, other, Options{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if err := Write(t.Context(), first, idx, Options{}); err != nil {
		t.Fatal(err)
	}
	if after := files(t, first); len(after) != len(before) {
		t.Errorf("%d files after an unfinished first run, want %d", len(after), len(before))
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	if err := Write(ctx, dir, other, Options{}); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

// A run that ends after its index.json and before its notes has listed its
// tags there: they are ours still, and the next run's index takes their place.
func TestWriteLayoutInterruptedLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	first := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 50)))
	if err := Write(t.Context(), dir, first, Options{Tags: []string{"v1", "latest"}}); err != nil {
		t.Fatal(err)
	}
	// What the sweep can't remove ends the run at that point.
	stuck := blobFile(dir, testenv.Digest(t, first))
	if err := errors.Join(os.Remove(stuck), os.MkdirAll(filepath.Join(stuck, "in"), 0o755)); err != nil {
		t.Fatal(err)
	}
	second := testenv.TwoPlatforms(t)
	m, err := second.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	platforms := map[string]v1.Hash{"v2-amd64": m.Manifests[0].Digest}
	if err := Write(t.Context(), dir, second, Options{Tags: []string{"v2", "latest"}, Images: platforms}); err == nil {
		t.Fatal("no error")
	}
	if list := readLayout(t, dir); len(list) != 3 || list[0].Digest != testenv.Digest(t, second) {
		t.Fatalf("index.json lists %v, want the second index twice and its image", list)
	}
	if err := os.RemoveAll(stuck); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), dir, first, Options{Tags: []string{"v3", "latest"}}); err != nil {
		t.Fatal(err)
	}
	list := readLayout(t, dir)
	if len(list) != 2 || list[0].Digest != testenv.Digest(t, first) {
		t.Errorf("index.json lists %v, want the index of v3 and latest alone", list)
	}
	if left := files(t, dir); len(left) != 2+1+3 {
		t.Errorf("%d files, want two, the index, and the image's manifest, config and layer: %v", len(left), left)
	}
}

// A layer that changed since it was hashed is not written.
func TestWriteLayoutWrongContent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	wrong := testenv.Broken(testenv.RandomLayer(t, 1000), io.EOF)
	err := Write(t.Context(), dir, testenv.Index(testenv.Image(t, "amd64", wrong)), Options{})
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
	o := Options{Link: func(want v1.Hash, dst, tmp string) error {
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
		if err := Write(t.Context(), dir, idx, o); err != nil {
			t.Fatal(err)
		}
		readLayout(t, dir)
	}
	write(dir)
	write(dir)
	if calls != 5 { // two layers, config, manifest and index, once
		t.Errorf("%d calls of Link, want 5", calls)
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
	if err := Write(t.Context(), filepath.Join(parent, "third"), idx, o); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestWriteLayoutEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	if err := Write(t.Context(), dir, empty.Index, Options{Tags: []string{"v1"}}); err != nil {
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
	if err := Write(t.Context(), dir, idx, Options{Tags: []string{"v1", "latest"}}); err != nil {
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
