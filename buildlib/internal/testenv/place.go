package testenv

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Layout writes the index into a new OCI layout folder, tagged latest, and
// returns the folder.
func Layout(t testing.TB, index mutate.Appendable) string {
	t.Helper()
	dir := t.TempDir()
	WriteLayout(t, dir, index)
	return dir
}

// WriteLayout makes dir the OCI layout of one index or image, tagged latest.
func WriteLayout(t testing.TB, dir string, what mutate.Appendable) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	must(t, err)
	tag := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"})
	switch what := what.(type) {
	case v1.ImageIndex:
		must(t, path.AppendIndex(what, tag))
	case v1.Image:
		must(t, path.AppendImage(what, tag))
	default:
		t.Fatalf("testenv: a %T goes into no layout", what)
	}
}

// Push writes an index or an image to a registry on loopback.
func Push(t testing.TB, ref string, what remote.Taggable) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	must(t, err)
	must(t, remote.Push(r, what))
}

// Pull reads an index back from a registry on loopback.
func Pull(t testing.TB, ref string) v1.ImageIndex {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	must(t, err)
	index, err := remote.Index(r)
	must(t, err)
	return index
}

// MemoryRegistry starts an open registry inside the test process, for tests
// that care for what is pushed and not for the server. It returns host:port.
func MemoryRegistry(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
