package image

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func mustImage(t testing.TB, s Spec) v1.Image {
	t.Helper()
	if s.Platform.OS == "" {
		s.Platform = linuxAMD64
	}
	img, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func imageError(t testing.TB, s Spec, want string) {
	t.Helper()
	s.Platform = linuxAMD64
	if _, err := New(s); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v doesn't say %q", err, want)
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

var linuxAMD64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// app is a layer with a program.
func app(t testing.TB) Layer {
	return Layer{testenv.Layer(t, testenv.File("bin/app", 0o755, "program")), "binary /bin/app"}
}

// baseOf makes a base with one layer, typed as Docker does.
func baseOf(t testing.TB, edit func(*v1.ConfigFile)) v1.Image {
	t.Helper()
	l := retype(testenv.Layer(t, testenv.Dir("usr/", 0o755)), types.DockerLayer)
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
	return img
}

func TestImageFromScratch(t *testing.T) {
	img := mustImage(t, Spec{Config: v1.Config{WorkingDir: "/srv/app", User: "65532:65532", Entrypoint: []string{"/bin/app"}}, Layers: []Layer{app(t), app(t)}})
	if err := validate.Image(img); err != nil {
		t.Fatal(err)
	}
	raw, _ := img.RawConfigFile()
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	wantConfig := map[string]any{
		"User": "65532:65532", "WorkingDir": "/srv/app",
		"Env":        []any{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		"Entrypoint": []any{"/bin/app"},
	}
	if !reflect.DeepEqual(c["config"], wantConfig) || c["created"] != "1970-01-01T00:00:00Z" {
		t.Errorf("config %s", raw)
	}
	if got := len(configOf(t, img).History); got != 2 {
		t.Errorf("%d history entries for 2 layers", got)
	}
}

func TestImageOnBase(t *testing.T) {
	base := baseOf(t, nil)
	created := time.Date(2026, 11, 20, 10, 0, 0, 500, time.FixedZone("", 3600))
	img := mustImage(t, Spec{
		Platform: v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
		Base:     base,
		Layers:   []Layer{app(t)},
		Config: v1.Config{
			Entrypoint: []string{"/bin/app"}, Env: []string{"LANG=C.UTF-8", "APP=1"},
			Labels: map[string]string{"org.opencontainers.image.title": "app", "team": "a"},
		},
		Annotations: map[string]string{"org.opencontainers.image.title": "app"},
		Created:     created,
	})
	if err := validate.Image(img); err != nil {
		t.Fatal(err)
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
	if got := m.Annotations; len(got) != 1 || got["org.opencontainers.image.title"] != "app" {
		t.Errorf("annotations %v", got)
	}
	from := manifestOf(t, base)
	if m.Layers[0].Digest != from.Layers[0].Digest {
		t.Error("the base's blob was touched")
	}
}

func TestBaseWithoutHistory(t *testing.T) {
	base := baseOf(t, func(c *v1.ConfigFile) { c.History = nil })
	img := mustImage(t, Spec{Base: base, Layers: []Layer{app(t)}})
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
	base := baseOf(t, func(c *v1.ConfigFile) { c.RootFS.DiffIDs = nil })
	imageError(t, Spec{Base: base}, "base: its manifest has 1 layers, its config 0")
}

func TestRetypedLayersStayMountable(t *testing.T) {
	l := retype(&remote.MountableLayer{Layer: testenv.Layer(t)}, types.OCILayer)
	m, ok := l.(*remote.MountableLayer)
	if !ok {
		t.Fatalf("got %T", l)
	}
	if mt, _ := m.MediaType(); mt != types.OCILayer {
		t.Errorf("type %s", mt)
	}
}
