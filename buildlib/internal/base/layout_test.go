package base

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// layoutOf writes an image layout to dir: each image or index with its tag,
// or none if the tag is "".
func layoutOf(t testing.TB, dir string, what map[string]mutate.Appendable) string {
	t.Helper()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, w := range what {
		var opts []layout.Option
		if tag != "" {
			opts = append(opts, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
		}
		switch w := w.(type) {
		case v1.Image:
			err = l.AppendImage(w, opts...)
		case v1.ImageIndex:
			err = l.AppendIndex(w, opts...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarOf puts a folder's files into a tar.
func tarOf(t testing.TB, dir string) []byte {
	t.Helper()
	var items []testenv.Entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		items = append(items, testenv.File("./"+filepath.ToSlash(rel), 0o644, string(data)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return testenv.Tar(t, items...)
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLayouts(t *testing.T) {
	tmp := t.TempDir()
	multi := indexOf(t, "linux/amd64", "linux/arm64")
	one := layoutOf(t, filepath.Join(tmp, "one"), map[string]mutate.Appendable{"1.0": multi})
	two := layoutOf(t, filepath.Join(tmp, "two"), map[string]mutate.Appendable{"1.0": multi, "2.0": indexOf(t, "linux/amd64")})
	tags := layoutOf(t, filepath.Join(tmp, "tags"), map[string]mutate.Appendable{"1.0": multi, "latest": multi})
	single := layoutOf(t, filepath.Join(tmp, "single:odd"), map[string]mutate.Appendable{"": simple(t, "linux/amd64")})
	flat := layoutOf(t, filepath.Join(tmp, "flat"), map[string]mutate.Appendable{"a": simple(t, "linux/amd64"), "b": simple(t, "linux/arm64")})
	plain := write(t, filepath.Join(tmp, "one.tar"), tarOf(t, one))
	write(t, filepath.Join(tmp, "one.tar.gz"), testenv.Gzip(t, tarOf(t, one)))
	index, err := os.ReadFile(filepath.Join(flat, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ref  string
		want v1.Hash
	}{
		{one, sumOf(t, multi)},
		{one + ":1.0", sumOf(t, multi)},
		{one + "@" + sumOf(t, multi).String(), sumOf(t, multi)},
		{"one", sumOf(t, multi)}, // relative to Bases.Dir
		{"./one:1.0", sumOf(t, multi)},
		{two + ":1.0", sumOf(t, multi)},
		{two + "@" + sumOf(t, multi).String(), sumOf(t, multi)},
		{tags, sumOf(t, multi)},
		{single, sumOf(t, simple(t, "linux/amd64"))},
		{flat, testenv.SHA256(index)},
		{flat + ":a", sumOf(t, simple(t, "linux/amd64"))},
		{plain, sumOf(t, multi)},
		{plain + ":1.0", sumOf(t, multi)},
		{"one.tar.gz:1.0", sumOf(t, multi)},
	} {
		t.Run(strings.ReplaceAll(tt.ref, tmp, ""), func(t *testing.T) {
			b := newResolver(t, t.TempDir())
			b.Dir = tmp
			s := resolve(t, b, "oci:"+tt.ref)
			base := baseFor(t, s, "linux/amd64")
			if s.Digest != tt.want || base.Index != tt.want {
				t.Errorf("got %s, want %s", s.Digest, tt.want)
			}
			if s.Name != "" || base.Name != "" {
				t.Errorf("a local path becomes the name %q", s.Name)
			}
			if base.Digest != sumOf(t, simple(t, "linux/amd64")) {
				t.Errorf("got the image %s", base.Digest)
			}
			if data, _ := base.Tree.File("/etc/passwd"); string(data) != "linux/amd64" {
				t.Errorf("got passwd %q", data)
			}
			layers, err := base.Image.Layers()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readLayer(t, layers[0]), layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64")).blob) {
				t.Error("got another layer")
			}
		})
	}
}

// Of a compressed tar, what a manifest names goes to the cache, and nothing
// else, however small it is in the tar. What the cache loses is read again.
func TestCompressedLayout(t *testing.T) {
	tmp := t.TempDir()
	dir := layoutOf(t, filepath.Join(tmp, "one"), map[string]mutate.Appendable{"1.0": indexOf(t, "linux/amd64", "linux/arm64")})
	bomb := make([]byte, 8<<20)
	write(t, filepath.Join(dir, "blobs", "sha256", testenv.SHA256(bomb).Hex), bomb)
	path := write(t, filepath.Join(tmp, "one.tar.gz"), testenv.Gzip(t, tarOf(t, dir)))
	cache := t.TempDir()
	base := baseFor(t, resolve(t, newResolver(t, cache), "oci:"+path), "linux/amd64")
	blobs := filepath.Join(cache, "blobs", "sha256")
	list, err := os.ReadDir(blobs)
	if err != nil || len(list) != 1+2*3 { // index; manifests, configs, layers
		t.Errorf("the cache holds %d blobs, %v", len(list), err)
	}
	if _, err := os.Stat(filepath.Join(blobs, testenv.SHA256(bomb).Hex)); err == nil {
		t.Error("the cache holds a blob that no manifest names")
	}
	layers, err := base.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(blobs, h.Hex)); err != nil {
		t.Fatal(err)
	}
	if testenv.SHA256(readLayer(t, layers[0])) != h {
		t.Error("another layer")
	}
}

func TestRefusedLayouts(t *testing.T) {
	tmp := t.TempDir()
	at := func(name string) string { return filepath.Join(tmp, name) }
	image := func(name string) string {
		return layoutOf(t, at(name), map[string]mutate.Appendable{"1.0": simple(t, "linux/amd64")})
	}
	layer := layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64"))
	blob := func(l string) string { return filepath.Join(l, "blobs", "sha256", sumOf(t, layer).Hex) }
	is := "layer " + sumOf(t, layer).String()

	layoutOf(t, at("two"), map[string]mutate.Appendable{"1.0": indexOf(t, "linux/amd64"), "2.0": indexOf(t, "linux/arm64")})
	layoutOf(t, at("same"), map[string]mutate.Appendable{"1.0": simple(t, "linux/amd64"), "2.0": imageOf(t, "linux/amd64")})
	layoutOf(t, at("empty"), nil)
	image("one")
	if err := os.Remove(blob(image("lost"))); err != nil {
		t.Fatal(err)
	}
	write(t, blob(image("changed")), make([]byte, len(layer.blob)))
	write(t, blob(image("short")), layer.blob[:20])
	write(t, blob(image("long")), append(layer.blob[:len(layer.blob):len(layer.blob)], 0))
	write(t, at("tar"), tarOf(t, image("tarred"))[:1100])
	write(t, at("changed.tar"), tarOf(t, at("changed")))
	write(t, at("changed.tar.gz"), testenv.Gzip(t, tarOf(t, at("changed"))))
	write(t, at("docker.tar"), testenv.Tar(t, testenv.File("manifest.json", 0o644, "[]"), testenv.File("repositories", 0o644, "{}")))
	write(t, at("docker.tar.gz"), testenv.Gzip(t, testenv.Tar(t, testenv.File("manifest.json", 0o644, "[]"))))
	write(t, at("docker/manifest.json"), []byte("[]"))
	write(t, at("other.tar"), testenv.Tar(t, testenv.File("x", 0o644, "")))
	write(t, at("text"), bytes.Repeat([]byte("hello"), 500))
	write(t, at("nothing"), nil)
	write(t, at("folder/x"), nil)
	write(t, filepath.Join(image("version"), "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`))
	write(t, filepath.Join(image("garbage"), "index.json"), []byte(`<html>`))
	write(t, filepath.Join(image("bomb"), "index.json"), bytes.Repeat([]byte(" "), maxManifest+1))
	write(t, filepath.Join(image("manifest"), "index.json"), []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	write(t, at("bomb.tar"), testenv.Tar(t, testenv.File("index.json", 0o644, strings.Repeat(" ", maxManifest+1))))
	if err := os.Remove(filepath.Join(image("indexless"), "index.json")); err != nil {
		t.Fatal(err)
	}

	skopeo := "convert it with skopeo copy docker-archive:FILE oci:FOLDER"
	for ref, want := range map[string]string{
		"":                                "no path: write oci:PATH",
		"none":                            "no such image layout: stat " + at("none"),
		"one:9":                           `the layout has no "9": it has 1.0`,
		"none:9":                          "no such image layout",
		"one@sha256:12":                   `"sha256:12" is not a digest`,
		"one@" + sumOf(t, layer).String(): "the layout has no " + sumOf(t, layer).String() + ": it has 1.0",
		"two":                             "the layout has several images, choose one with oci:PATH:TAG or oci:PATH@DIGEST: it has 1.0, 2.0",
		"same":                            "the layout has several images",
		"empty":                           "the layout has no image",
		"lost":                            is + ": the layout doesn't have it",
		"changed":                         is + " has the wrong content",
		"short":                           is + " is truncated: it has 20 of",
		"long":                            is + " is longer than",
		"tar":                             "not a valid tar: ",
		"changed.tar":                     is + " has the wrong content",
		"changed.tar.gz":                  "blobs/sha256/" + sumOf(t, layer).Hex + ": wrong content",
		"docker.tar":                      skopeo,
		"docker.tar.gz":                   skopeo,
		"docker":                          skopeo,
		"other.tar":                       "not an OCI image layout: it has no file oci-layout",
		"text":                            "neither a folder nor a tar",
		"nothing":                         "neither a folder nor a tar",
		"folder":                          "not an OCI image layout: it has no file oci-layout",
		"version":                         `unknown version "2.0.0" of the image layout`,
		"garbage":                         "index.json: not an image manifest",
		"bomb":                            "index.json is longer than 4194304 bytes",
		"bomb.tar":                        "index.json is longer than 4194304 bytes",
		"manifest":                        "index.json: not an index",
		"indexless":                       "index.json",
	} {
		t.Run(ref, func(t *testing.T) {
			b := newResolver(t, t.TempDir())
			b.Dir = tmp
			wantError(t, baseError(b, "oci:"+ref, "linux/amd64"), "base oci:"+ref+": ", want)
		})
	}
}

// A layout's links lead nowhere but into the layout.
func TestLayoutLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege here")
	}
	tmp := t.TempDir()
	layer := layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64"))
	inside := layoutOf(t, filepath.Join(tmp, "inside"), map[string]mutate.Appendable{"": simple(t, "linux/amd64")})
	outside := layoutOf(t, filepath.Join(tmp, "outside"), map[string]mutate.Appendable{"": simple(t, "linux/amd64")})
	device := layoutOf(t, filepath.Join(tmp, "device"), map[string]mutate.Appendable{"": simple(t, "linux/amd64")})
	blob := filepath.Join("blobs", "sha256", sumOf(t, layer).Hex)
	for l, target := range map[string]string{inside: "../../moved", outside: "../../../moved"} {
		moved := filepath.Join(l, "blobs", "sha256", target)
		if err := os.Rename(filepath.Join(l, blob), moved); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(l, blob)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(device, blob)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(device, blob), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := baseError(newResolver(t, t.TempDir()), "oci:"+inside, "linux/amd64"); err != nil {
		t.Error(err)
	}
	wantError(t, baseError(newResolver(t, t.TempDir()), "oci:"+outside, "linux/amd64"), "path escapes from parent")
	wantError(t, baseError(newResolver(t, t.TempDir()), "oci:"+device, "linux/amd64"), "is not a regular file")
}

// A blob that is named twice, or that no digest can name, does no harm.
func TestOddTars(t *testing.T) {
	dir := layoutOf(t, t.TempDir(), map[string]mutate.Appendable{"": simple(t, "linux/amd64")})
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, name := range []string{"blobs/sha256/short", "blobs/sha512/x", "../index.json", "deep/index.json"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	b.Write(tarOf(t, dir))
	for name, data := range map[string][]byte{"odd.tar": b.Bytes(), "odd.tar.gz": testenv.Gzip(t, b.Bytes())} {
		p := write(t, filepath.Join(t.TempDir(), name), data)
		if err := baseError(newResolver(t, t.TempDir()), "oci:"+p, "linux/amd64"); err != nil {
			t.Error(err)
		}
	}
}
