package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/store"
)

var linuxAMD64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// newAssembler returns an Assembler with a store of its own.
func newAssembler(t testing.TB) *Assembler {
	t.Helper()
	s, err := store.Open(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Assembler{Cache: s}
}

// executable writes content to a file and returns it as a binary for path.
func executable(t testing.TB, path string, content []byte) Executable {
	t.Helper()
	src := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(src, content, 0o755); err != nil {
		t.Fatal(err)
	}
	h, n, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return Executable{Path: path, Source: src, Digest: h, Size: n}
}

// project writes files, by path, to a folder and returns it.
func project(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustImage(t testing.TB, a *Assembler, s Spec) v1.Image {
	t.Helper()
	if s.Platform.OS == "" {
		s.Platform = linuxAMD64
	}
	img, err := a.Image(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func imageError(t testing.TB, a *Assembler, s Spec, want ...string) {
	t.Helper()
	s.Platform = linuxAMD64
	_, err := a.Image(t.Context(), s)
	if err == nil {
		t.Errorf("no error, want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q doesn't say %q", err, w)
		}
	}
}

func configOf(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func manifestOf(t testing.TB, img v1.Image) *v1.Manifest {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func digestOf(t testing.TB, img interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// listing describes each layer's entries, as people read them.
func listing(t testing.TB, img v1.Image) [][]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uname != "" || h.Gname != "" {
				t.Errorf("%s: time %v, names %q %q", h.Name, h.ModTime, h.Uname, h.Gname)
			}
			line := fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
			if h.Linkname != "" {
				line += " -> " + h.Linkname
			}
			list = append(list, line)
		}
		r.Close()
		all = append(all, list)
	}
	return all
}

// content returns the content of the file at path in the last layer that has it.
func contentOf(t testing.TB, img v1.Image, path string) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(layers)
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			if "/"+h.Name == path {
				data, err := io.ReadAll(tr)
				if err != nil {
					t.Fatal(err)
				}
				return string(data)
			}
		}
	}
	t.Fatalf("the image has no %s", path)
	return ""
}

// debianTree is a small tree with a merged /usr, as Debian's.
func debianTree() *Tree {
	dir := Node{Type: tar.TypeDir, Mode: 0o755}
	return &Tree{
		Nodes: map[string]Node{
			"/bin":            {Type: tar.TypeSymlink, Link: "usr/bin", Mode: 0o777},
			"/etc":            dir,
			"/etc/passwd":     {Type: tar.TypeReg, Mode: 0o644},
			"/etc/group":      {Type: tar.TypeReg, Mode: 0o644},
			"/etc/shadow":     {Type: tar.TypeReg, Mode: 0o640, GID: 42},
			"/etc/mtab":       {Type: tar.TypeSymlink, Link: "/proc/mounts", Mode: 0o777},
			"/home":           dir,
			"/tmp":            {Type: tar.TypeDir, Mode: 0o1777},
			"/usr":            dir,
			"/usr/bin":        dir,
			"/usr/bin/sh":     {Type: tar.TypeSymlink, Link: "dash", Mode: 0o777},
			"/usr/bin/dash":   {Type: tar.TypeReg, Mode: 0o755},
			"/usr/local":      dir,
			"/usr/local/bin":  dir,
			"/var":            dir,
			"/var/run":        {Type: tar.TypeSymlink, Link: "/run", Mode: 0o777},
			"/var/lib":        dir,
			"/var/lib/secret": {Type: tar.TypeDir, Mode: 0o700, UID: 7, GID: 8},
		},
		Files: map[string][]byte{
			"/etc/passwd": []byte("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n" +
				"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
			"/etc/group": []byte("root:x:0:\ndaemon:x:1:\nadm:x:4:\nshadow:x:42:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n"),
			"/etc/shadow": []byte("root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n" +
				"www-data:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\n"),
		},
	}
}

// baseOf makes a base with one layer, typed as Docker does.
func baseOf(t testing.TB, tree *Tree, edit func(*v1.ConfigFile)) *Base {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755})
	w.Close()
	blob, diffID := compressed(t, raw.Bytes(), 1<<15)
	l := fakeLayer{static.NewLayer(blob, types.DockerLayer), diffID, raw.Bytes()}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "ADD rootfs"}})
	if err != nil {
		t.Fatal(err)
	}
	c := configOf(t, img).DeepCopy()
	c.OS, c.Architecture, c.Variant = "linux", "amd64", "v8"
	c.Author, c.Container = "someone", "0123"
	c.History = append(c.History, v1.History{CreatedBy: "CMD sh", EmptyLayer: true})
	c.Config = v1.Config{
		Image: "sha256:0123", Hostname: "builder", Cmd: []string{"sh"}, OnBuild: []string{"RUN x"},
		Env:         []string{"PATH=/usr/bin", "LANG=C"},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "true"}},
		Labels:      map[string]string{"maintainer": "them", "org.opencontainers.image.title": "base"},
	}
	if edit != nil {
		edit(c)
	}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	idx, _, _ := v1.SHA256(strings.NewReader("index"))
	return &Base{Name: "docker.io/library/debian:13", Index: idx, Digest: d, Image: img, Config: c, Tree: tree}
}

type fakeLayer struct {
	v1.Layer
	diffID v1.Hash
	raw    []byte
}

func (f fakeLayer) DiffID() (v1.Hash, error) { return f.diffID, nil }
func (f fakeLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f.raw)), nil
}
