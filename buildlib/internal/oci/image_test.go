package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestImageFromScratch(t *testing.T) {
	dir := project(t, map[string]string{"conf/app.yaml": "a: 1\n"})
	img := mustImage(t, newAssembler(t), Spec{
		Binaries: []Executable{
			executable(t, "/usr/local/bin/app", []byte("program")),
			executable(t, "/usr/local/bin/ctl", []byte("another")),
		},
		Files:   []File{{Source: filepath.Join(dir, "conf"), Path: "/etc/app", Root: dir}},
		WorkDir: "/srv/app",
	})
	if err := validate.Image(img); err != nil {
		t.Fatal(err)
	}
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
	raw, _ := img.RawConfigFile()
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	wantConfig := map[string]any{
		"User": "65532:65532", "WorkingDir": "/srv/app",
		"Env":        []any{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		"Entrypoint": []any{"/usr/local/bin/app"},
	}
	if !reflect.DeepEqual(c["config"], wantConfig) || c["created"] != "1970-01-01T00:00:00Z" {
		t.Errorf("config %s", raw)
	}
	if got := len(configOf(t, img).History); got != 4 {
		t.Errorf("%d history entries for 4 layers", got)
	}
}

func TestImageOnBase(t *testing.T) {
	base := baseOf(t, debianTree(), nil)
	created := time.Date(2026, 11, 20, 10, 0, 0, 500, time.FixedZone("", 3600))
	img := mustImage(t, newAssembler(t), Spec{
		Platform:    v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
		Base:        base,
		Binaries:    []Executable{executable(t, "/bin/app", []byte("program"))},
		Env:         []string{"LANG=C.UTF-8", "APP=1"},
		Labels:      map[string]string{"org.opencontainers.image.title": "app", "team": "a"},
		Annotations: map[string]string{"org.opencontainers.image.title": "app"},
		Created:     created,
	})
	if err := validate.Image(img); err != nil {
		t.Fatal(err)
	}
	if got, want := listing(t, img)[1], []string{"5 0755 0:0 usr/", "5 0755 0:0 usr/bin/", "0 0755 0:0 usr/bin/app"}; !reflect.DeepEqual(got, want) {
		t.Errorf("layer %q, want %q: a bin/ entry would replace the link", got, want)
	}
	c := configOf(t, img)
	stamp := v1.Time{Time: created.UTC().Truncate(time.Second)}
	want := &v1.ConfigFile{
		Architecture: "arm64", OS: "linux", Created: stamp,
		History: []v1.History{
			{CreatedBy: "ADD rootfs"}, {CreatedBy: "CMD sh", EmptyLayer: true},
			{Created: stamp, CreatedBy: "multimage: binary /bin/app"},
		},
		RootFS: c.RootFS,
		Config: v1.Config{
			Env:         []string{"PATH=/usr/bin", "LANG=C.UTF-8", "APP=1"},
			Entrypoint:  []string{"/bin/app"},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "true"}},
			Labels: map[string]string{
				"maintainer": "them", "team": "a", "org.opencontainers.image.title": "app",
				"org.opencontainers.image.base.name":   base.Name,
				"org.opencontainers.image.base.digest": base.Digest.String(),
			},
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("config %+v\nwant   %+v", c, want)
	}
	m := manifestOf(t, img)
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON {
		t.Errorf("media types %s, %s", m.MediaType, m.Config.MediaType)
	}
	for _, l := range m.Layers {
		if l.MediaType != types.OCILayer {
			t.Errorf("layer of type %s", l.MediaType)
		}
	}
	if got := m.Annotations; got["org.opencontainers.image.base.digest"] != base.Digest.String() || len(got) != 3 {
		t.Errorf("annotations %v", got)
	}
	from := manifestOf(t, base.Image)
	if m.Layers[0].Digest != from.Layers[0].Digest {
		t.Error("the base's blob was touched")
	}
}

func TestBaseWithoutHistory(t *testing.T) {
	base := baseOf(t, &Tree{}, func(c *v1.ConfigFile) { c.History = nil })
	img := mustImage(t, newAssembler(t), Spec{Base: base, Binaries: []Executable{executable(t, "/app", []byte("x"))}})
	n := 0
	for _, h := range configOf(t, img).History {
		if !h.EmptyLayer {
			n++
		}
	}
	if layers, _ := img.Layers(); n != len(layers) {
		t.Errorf("history of %d layers, image of %d", n, len(layers))
	}
}

func TestBrokenBase(t *testing.T) {
	base := baseOf(t, &Tree{}, nil)
	base.Config = base.Config.DeepCopy()
	base.Config.RootFS.DiffIDs = nil
	imageError(t, newAssembler(t), Spec{Base: base}, "base: its manifest has 1 layers, its config 0")
}

func TestRetypedLayersStayMountable(t *testing.T) {
	l := retype(&remote.MountableLayer{Layer: fakeLayer{}}, types.OCILayer)
	m, ok := l.(*remote.MountableLayer)
	if !ok {
		t.Fatalf("got %T", l)
	}
	if mt, _ := m.MediaType(); mt != types.OCILayer {
		t.Errorf("type %s", mt)
	}
}

// An image depends on what it is made of, not on where or by how many.
func TestImageIsReproducible(t *testing.T) {
	build := func() string {
		dir := project(t, map[string]string{"web/index.html": "<p>", "web/a/b.css": "b{}"})
		if err := os.Symlink("index.html", filepath.Join(dir, "web", "home")); err != nil {
			t.Fatal(err)
		}
		return digestOf(t, mustImage(t, newAssembler(t), Spec{
			Binaries: []Executable{executable(t, "/app", compressible(blockSize*3+5))},
			Files:    []File{{Source: filepath.Join(dir, "web"), Path: "/web", Root: dir}},
			Labels:   map[string]string{"a": "1", "b": "2", "c": "3"},
			User:     User{Name: "app"},
		}))
	}
	first := build()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if second := build(); first != second {
		t.Errorf("%s, then %s", first, second)
	}
}

// The layers of images published with this layerFormat and compressor must
// not change by accident: everyone would push and pull them again.
func TestGoldenImage(t *testing.T) {
	img := mustImage(t, newAssembler(t), Spec{
		Platform: v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"},
		Binaries: []Executable{executable(t, "/usr/local/bin/app", compressible(2_000_000))},
		User:     User{Name: "app", UID: 1234},
		Ports:    []string{"8080"},
	})
	want := map[string]string{
		"v1.20.3": "sha256:63ab2bb9bbb1324bfa758173d2fffbcdc347d452fcadf4338a0fb64bf380b6d8",
	}[flateVersion]
	if got := digestOf(t, img); got != want {
		raw, _ := img.RawManifest()
		t.Errorf("digest %s, want %s\n%s", got, want, raw)
	}
}

func TestImageRefuses(t *testing.T) {
	a := newAssembler(t)
	bin := executable(t, "/app", []byte("x"))
	at := func(path string) []Executable {
		return []Executable{{Path: path, Source: bin.Source, Digest: bin.Digest, Size: bin.Size}}
	}
	nowhere := Executable{Path: "/app", Source: "/nowhere/app", Digest: bin.Digest, Size: 1}
	debian := baseOf(t, debianTree(), nil)
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
		"env":                 {Spec{Env: []string{"APP"}}, []string{`env "APP": is not KEY=VALUE`}},
		"port":                {Spec{Ports: []string{"http"}}, []string{`port "http"`}},
		"port 0":              {Spec{Ports: []string{"0"}}, []string{`port "0"`}},
		"port 65536":          {Spec{Ports: []string{"65536/tcp"}}, []string{`port "65536/tcp"`}},
		"port range":          {Spec{Ports: []string{"90-80"}}, []string{`port "90-80"`}},
		"protocol":            {Spec{Ports: []string{"80/http"}}, []string{"tcp, udp or sctp"}},
		"volume":              {Spec{Volumes: []string{"data"}}, []string{"volume: ", "write /data"}},
		"time zones, no file": {Spec{TZData: true, ZoneInfo: "/nowhere/zoneinfo.zip"}, []string{"time zones: /nowhere/zoneinfo.zip is missing", "use a base"}},
	} {
		t.Run(name, func(t *testing.T) { imageError(t, a, c.spec, c.want...) })
	}
}
