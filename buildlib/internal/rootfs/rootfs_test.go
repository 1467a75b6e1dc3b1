package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// newAssembler returns an Assembler with a store of its own.
func newBuilder(t testing.TB) *Builder {
	t.Helper()
	s, err := store.Open(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Builder{Cache: s}
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

func mustBuild(t testing.TB, b *Builder, s Spec) *Rootfs {
	t.Helper()
	made, err := b.Build(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func buildError(t testing.TB, b *Builder, s Spec, want ...string) {
	t.Helper()
	_, err := b.Build(t.Context(), s)
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

// digests of the layers.
func digests(t testing.TB, made *Rootfs) (all []string) {
	t.Helper()
	for _, l := range made.Layers {
		h, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.String())
	}
	return all
}

// listing describes each layer's entries, as people read them.
func listing(t testing.TB, img *Rootfs) [][]string {
	t.Helper()
	layers := img.Layers
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
func contentOf(t testing.TB, img *Rootfs, path string) string {
	t.Helper()
	layers := img.Layers
	for _, l := range slices.Backward(layers) {
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
func debianTree() *filetree.Tree {
	dir := filetree.Node{Type: tar.TypeDir, Mode: 0o755}
	return &filetree.Tree{
		Nodes: map[string]filetree.Node{
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

func TestScratch(t *testing.T) {
	dir := project(t, map[string]string{"conf/app.yaml": "a: 1\n"})
	img := mustBuild(t, newBuilder(t), Spec{
		Binaries: []Executable{
			executable(t, "/usr/local/bin/app", []byte("program")),
			executable(t, "/usr/local/bin/ctl", []byte("another")),
		},
		Files:   []File{{Source: filepath.Join(dir, "conf"), Path: "/etc/app", Root: dir}},
		WorkDir: "/srv/app",
	})
	want := [][]string{{
		"5 0755 0:0 etc/", "0 0644 0:0 etc/group", "0 0644 0:0 etc/passwd",
		"5 0755 0:0 home/", "5 0755 65532:65532 home/nonroot/",
		"5 0755 0:0 srv/", "5 0755 65532:65532 srv/app/",
		"5 1777 0:0 tmp/",
	}, {
		"5 0755 0:0 etc/", "5 0755 0:0 etc/app/", "0 0644 0:0 etc/app/app.yaml",
	}, {
		"5 0755 0:0 usr/", "5 0755 0:0 usr/local/", "5 0755 0:0 usr/local/bin/", "0 0755 0:0 usr/local/bin/app",
	}, {
		"5 0755 0:0 usr/", "5 0755 0:0 usr/local/", "5 0755 0:0 usr/local/bin/", "0 0755 0:0 usr/local/bin/ctl",
	}}
	if got := listing(t, img); !reflect.DeepEqual(got, want) {
		t.Errorf("layers:\n%q\nwant\n%q", got, want)
	}
	if img.User != "65532:65532" {
		t.Errorf("user %q", img.User)
	}
	holds := []string{"runtime files", "files", "binary /usr/local/bin/app", "binary /usr/local/bin/ctl"}
	for i, l := range img.Layers {
		if l.Holds != holds[i] {
			t.Errorf("layer %d holds %q", i, l.Holds)
		}
	}
}

// Layers depend on what they are made of, not on where or by how many.
func TestLayersAreReproducible(t *testing.T) {
	build := func() []string {
		dir := project(t, map[string]string{"web/index.html": "<p>", "web/a/b.css": "b{}"})
		if err := os.Symlink("index.html", filepath.Join(dir, "web", "home")); err != nil {
			t.Fatal(err)
		}
		return digests(t, mustBuild(t, newBuilder(t), Spec{
			Binaries: []Executable{executable(t, "/app", compressible(blockSize*3+5))},
			Files:    []File{{Source: filepath.Join(dir, "web"), Path: "/web", Root: dir}},
			User:     User{Name: "app"},
		}))
	}
	first := build()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if second := build(); !slices.Equal(first, second) {
		t.Errorf("%s, then %s", first, second)
	}
}

// The layers of images published with this layerFormat and compressor must
// not change by accident: everyone would push and pull them again.
func TestGoldenLayers(t *testing.T) {
	img := mustBuild(t, newBuilder(t), Spec{
		Binaries: []Executable{executable(t, "/usr/local/bin/app", compressible(2_000_000))},
		User:     User{Name: "app", UID: 1234},
	})
	want := map[string][]string{
		"v1.20.3": {
			"sha256:e6902366cacba50541f7a18818905a93f7529e0002a00488c4be5985ff2e2dc2",
			"sha256:f980c8568b650262e4d89c5256367d63ceaba9d703b62fdf238b74cb87873a41",
		},
	}[compressVersion]
	if got := digests(t, img); !slices.Equal(got, want) {
		t.Errorf("digests %q, want %q", got, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	a := newBuilder(t)
	bin := executable(t, "/app", []byte("x"))
	at := func(path string) []Executable {
		return []Executable{{Path: path, Source: bin.Source, Digest: bin.Digest, Size: bin.Size}}
	}
	nowhere := Executable{Path: "/app", Source: "/nowhere/app", Digest: bin.Digest, Size: 1}
	debian := debianTree()
	for name, c := range map[string]struct {
		spec Spec
		want []string
	}{
		"relative path":       {Spec{Binaries: at("app")}, []string{`binary app: path "app" is not absolute; write /app`}},
		"path with dots":      {Spec{Binaries: at("/a/../b")}, []string{"is not clean; write /b"}},
		"trailing slash":      {Spec{Binaries: at("/app/")}, []string{"is not clean; write /app"}},
		"control character":   {Spec{Binaries: at("/a\nb")}, []string{"control characters"}},
		"whiteout":            {Spec{Binaries: at("/.wh.app")}, []string{"removals"}},
		"root":                {Spec{Binaries: at("/")}, []string{"binary /: ", "is a folder"}},
		"over a folder":       {Spec{Base: debian, Binaries: at("/usr/bin")}, []string{"binary /usr/bin: is a folder in the image"}},
		"over a link to one":  {Spec{Base: debian, Binaries: at("/bin")}, []string{"is a folder in the image"}},
		"below a file":        {Spec{Base: debian, Binaries: at("/usr/bin/dash/app")}, []string{"/usr/bin/dash"}},
		"two binaries":        {Spec{Binaries: append(at("/app"), at("/app")...)}, []string{"/app: binary /app is already there"}},
		"two by a link":       {Spec{Base: debian, Binaries: append(at("/bin/app"), at("/usr/bin/app")...)}, []string{"binary /bin/app is already there"}},
		"no digest":           {Spec{Binaries: []Executable{{Path: "/app", Source: bin.Source}}}, []string{"binary /app: its digest"}},
		"missing binary":      {Spec{Base: debian, Binaries: []Executable{nowhere}}, []string{"binary /app: open /nowhere/app"}},
		"relative workdir":    {Spec{WorkDir: "srv"}, []string{"working directory: ", "write /srv"}},
		"volume is a file":    {Spec{Base: debian, Volumes: []string{"/etc/passwd"}}, []string{"volume: /etc/passwd: is a file"}},
		"workdir is a file":   {Spec{Base: debian, WorkDir: "/etc/passwd"}, []string{"working directory: /etc/passwd: is a file"}},
		"volume":              {Spec{Volumes: []string{"data"}}, []string{"volume: ", "write /data"}},
		"time zones, no file": {Spec{TZData: true, ZoneInfo: "/nowhere/zoneinfo.zip"}, []string{"time zones: /nowhere/zoneinfo.zip is missing", "use a base"}},
	} {
		t.Run(name, func(t *testing.T) { buildError(t, a, c.spec, c.want...) })
	}
}
