package buildlib

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// madeDeb is a .deb with one file.
func madeDeb(t *testing.T, control, name, body string) []byte {
	t.Helper()
	pack := func(name, body string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, body)
		w.Close()
		z.Close()
		return b.Bytes()
	}
	ar := bytes.NewBufferString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", pack("control", control)}, {"data.tar.gz", pack(name, body)}} {
		fmt.Fprintf(ar, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.data), m.data)
		if len(m.data)%2 == 1 {
			ar.WriteByte('\n')
		}
	}
	return ar.Bytes()
}

// The way of a package from its repository through the lock into an image, and
// what is said where it is not open.
func TestPackages(t *testing.T) {
	control := "Package: tool\nVersion: 1.0-1\nArchitecture: amd64\nDescription: made\n"
	deb := madeDeb(t, control, "./usr/bin/tool", "\x7fELF: the tool")
	list := fmt.Sprintf("%sFilename: pool/tool.deb\nSize: %d\nSHA256: %x\n\n", control, len(deb), sha256.Sum256(deb))
	files := map[string]string{
		"/pool/tool.deb": string(deb), "/dists/stable/main/binary-amd64/Packages": list,
		"/dists/stable/InRelease": fmt.Sprintf("Suite: stable\nSHA256:\n %x %d main/binary-amd64/Packages\n", sha256.Sum256([]byte(list)), len(list)),
	}
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok || down.Load() {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	defer server.Close()
	base := testenv.Tiny()
	base.Entries = append(base.Entries, testenv.File("var/lib/dpkg/status", 0o644, "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n"),
		testenv.File("etc/apt/sources.list", 0o644, "deb [trusted=yes] "+server.URL+" stable main\n"))
	dir := project(t, oneMain())
	testenv.WriteLayout(t, filepath.Join(dir, "base"), base.Index(t))
	cache := t.TempDir()
	o := Overrides{Platforms: []string{"linux/amd64"}, Cache: cache}
	p := Project{Images: []Image{{Name: "server", Base: "oci:base", Packages: []string{"tool"}}}}
	fails := func(what string, o Overrides, p Project, want string) {
		t.Helper()
		if _, err := plan(t, dir, p, o).Images(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	fails("no lock", o, p, "multimage.lock has no entry for its packages: run Builder.Lock")
	changes, err := plan(t, dir, p, o).Lock(t.Context())
	if err != nil || len(changes) != 1 || changes[0].Name != "tool" || changes[0].New != "1.0-1" {
		t.Fatalf("lock: %+v, %v", changes, err)
	}
	if changes, err := plan(t, dir, p, o).Lock(t.Context()); err != nil || len(changes) > 0 {
		t.Errorf("second lock: %+v, %v", changes, err)
	}
	renamed := Project{Platforms: o.Platforms, Images: []Image{{Name: "renamed", Binaries: []string{"server"}, Base: "oci:base", Packages: []string{"tool"}}}}
	changes, err = plan(t, dir, renamed, Overrides{Cache: cache}).Lock(t.Context())
	if want := []PackageChange{
		{Image: "renamed", Platform: Platform{OS: "linux", Architecture: "amd64"}, Name: "tool", New: "1.0-1"},
		{Image: "server", Platform: Platform{OS: "linux", Architecture: "amd64"}, Name: "tool", Old: "1.0-1"},
	}; err != nil || !slices.Equal(changes, want) {
		t.Errorf("lock of a renamed image: %+v, %v, want %+v", changes, err, want)
	}
	renamed.Images = p.Images
	if _, err := plan(t, dir, renamed, Overrides{Cache: cache}).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	made := images(t, plan(t, dir, p, o))[0]
	valid(t, made.Layout)
	if got := fileIn(t, made.Layout, made.Platforms[0].Digest, "usr/bin/tool"); got != "\x7fELF: the tool" {
		t.Errorf("usr/bin/tool: %q", got)
	}
	if got := fileIn(t, made.Layout, made.Platforms[0].Digest, "var/lib/dpkg/status"); !strings.Contains(got, "Package: tool\nStatus: install ok installed\n") {
		t.Errorf("status: %s", got)
	}
	bill := read(t, filepath.Join(dir, "dist", "evidence", "server", "linux-amd64.spdx.json"))
	if !strings.Contains(bill, "/tool@1.0-1?arch=amd64") || strings.Contains(bill, "incomplete: ") {
		t.Errorf("the bill of materials lacks the package, or doesn't know its program:\n%s", bill)
	}
	if found, err := plan(t, dir, p, o).Outdated(t.Context()); err != nil || len(found.Bases)+len(found.Packages) > 0 {
		t.Errorf("outdated: %+v, %v", found, err)
	}
	down.Store(true)
	if again := images(t, plan(t, dir, p, o))[0]; again.Digest != made.Digest {
		t.Errorf("with the mirror down: %s, before %s", again.Digest, made.Digest)
	}
	cold := o
	cold.Cache = t.TempDir()
	fails("mirror down, cold cache", cold, p, server.URL+"/pool/tool.deb: the server doesn't have it (any more)")
	down.Store(false)
	other := p
	other.Images = []Image{{Name: "server", Base: "oci:base", Packages: []string{"tool=2"}}}
	fails("other packages", o, other, "multimage.lock is for other packages (tool) than the project's (tool=2)")
	at := filepath.Join(dir, "multimage.lock")
	lock, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	write(t, at, strings.Replace(string(lock), fmt.Sprintf("%x", sha256.Sum256(deb)), strings.Repeat("0", 64), 1))
	fails("another sha256", cold, p, "package tool 1.0-1: ")
	write(t, at, strings.Replace(string(lock), " base ", " bse ", 1))
	if _, err := p.at(dir).Plan(t.Context(), o); err == nil || !strings.Contains(err.Error(), `multimage.lock:4: "bse oci:base`) {
		t.Errorf("damaged lock: %v", err)
	}
}

// at is the project in a folder.
func (p Project) at(dir string) Project { p.Dir = dir; return p }

// fileIn returns a file of the topmost layer of an image that has it.
func fileIn(t *testing.T, dir string, image v1.Hash, name string) string {
	t.Helper()
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := all.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(image)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			if h.Name == name {
				data, err := io.ReadAll(tr)
				if err != nil {
					t.Fatal(err)
				}
				found = string(data)
			}
		}
		r.Close()
	}
	return found
}
