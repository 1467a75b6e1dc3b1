package image

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// children are images for three platforms that share a layer.
func children(t *testing.T) []Child {
	t.Helper()
	var list []Child
	for _, p := range []v1.Platform{
		{OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "arm", Variant: "v7"}, linuxAMD64,
	} {
		list = append(list, Child{Platform: p, Image: mustImage(t, Spec{Platform: p, Layers: []Layer{app(t)}})})
	}
	return list
}

func TestIndex(t *testing.T) {
	list := children(t)
	idx, err := Index(list, map[string]string{"org.opencontainers.image.title": "app"})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(idx); err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, d := range m.Manifests {
		platforms = append(platforms, d.Platform.String())
		if _, err := idx.Image(d.Digest); err != nil {
			t.Error(err)
		}
		if _, err := idx.ImageIndex(d.Digest); err == nil {
			t.Error("an image is an index")
		}
	}
	if got := strings.Join(platforms, " "); got != "linux/arm64 linux/arm/v7 linux/amd64" {
		t.Errorf("platforms %s", got)
	}
	raw, _ := idx.RawManifest()
	var keys struct{ Manifests []map[string]json.RawMessage }
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, d := range keys.Manifests {
		if len(d) != 4 { // mediaType, size, digest, platform
			t.Errorf("descriptor %v", d)
		}
	}
	if want := map[string]string{
		"org.opencontainers.image.title": "app",
	}; !reflect.DeepEqual(m.Annotations, want) {
		t.Errorf("annotations %v", m.Annotations)
	}
}

func TestIndexRefuses(t *testing.T) {
	if _, err := Index(nil, nil); err == nil {
		t.Error("an index of nothing")
	}
	list := children(t)
	list[1].Platform = v1.Platform{OS: "linux", Architecture: "arm64"}
	if _, err := Index(list, nil); err == nil || !strings.Contains(err.Error(), "two images for linux/arm64") {
		t.Errorf("got %v", err)
	}
}
