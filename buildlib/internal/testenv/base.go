package testenv

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Base describes a base image to build on, one child per platform. Start from
// Tiny or Alpine and change what the test is about.
type Base struct {
	// Platforms are os/arch[/variant][:os.version] as they stand in the index,
	// where Docker Hub's arm64 carries the variant v8.
	Platforms []string
	// Programs are each platform's busybox. A platform that has none gets a
	// text file in its place: enough for whatever runs nothing.
	Programs map[string][]byte
	Merged   bool                         // /bin, /sbin and /lib are links into /usr
	Docker   bool                         // a manifest list with Docker's media types
	Foreign  bool                         // the first layer is its owner's to distribute
	Attested bool                         // each image has an unknown/unknown attestation, as buildx makes them
	Entries  []Entry                      // a second layer
	Layers   []v1.Layer                   // further layers
	Config   func(string, *v1.ConfigFile) // changes a platform's config
}

// Tiny returns an alpine-shaped base that needs neither network nor programs.
// Nothing in it runs.
func Tiny() Base {
	return Base{Platforms: []string{"linux/amd64", "linux/arm/v7", "linux/arm64/v8"}, Attested: true}
}

// Alpine returns an alpine-shaped base that runs, made of Debian's static
// busybox.
func Alpine(t testing.TB) Base {
	t.Helper()
	b := Tiny()
	b.Programs = busybox(t)
	return b
}

// Index assembles the base.
func (b Base) Index(t testing.TB) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	if b.Docker {
		index = mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	}
	for _, platform := range b.Platforms {
		p := parse(t, platform)
		image := b.Image(t, platform)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: p,
			// What the base says of itself must not show on what is built on it.
			Annotations: map[string]string{"org.opencontainers.image.version": "3.24.0-base"},
		}})
		if b.Attested {
			index = mutate.AppendManifests(index, attestation(t, image))
		}
	}
	return index
}

// Image assembles one platform's child.
func (b Base) Image(t testing.TB, platform string) v1.Image {
	t.Helper()
	p := parse(t, platform)
	layers := []v1.Layer{Layer(t, b.rootfs(platform)...)}
	if len(b.Entries) > 0 {
		layers = append(layers, Layer(t, b.Entries...))
	}
	layers = append(layers, b.Layers...)

	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	layerType := types.OCILayer
	if b.Docker {
		image = mutate.MediaType(empty.Image, types.DockerManifestSchema2)
		image = mutate.ConfigMediaType(image, types.DockerConfigJSON)
		layerType = types.DockerLayer
	}
	for i, l := range layers {
		var err error
		media, urls := layerType, []string(nil)
		if i == 0 && b.Foreign {
			media, urls = types.OCIRestrictedLayer, []string{"https://owner.example/layer"}
			if b.Docker {
				media = types.DockerForeignLayer
			}
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer: retyped{l, media}, MediaType: media, URLs: urls,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "testenv"},
		})
		must(t, err)
	}
	file, err := image.ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = p.OS, p.Architecture, p.Variant
	file.OSVersion, file.OSFeatures = p.OSVersion, p.OSFeatures
	file.Created = v1.Time{Time: epoch}
	file.Config.Cmd = []string{"/bin/sh"}
	file.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	file.Config.Labels = map[string]string{"org.opencontainers.image.title": "base", "base.example/kept": "yes"}
	if b.Config != nil {
		b.Config(platform, file)
	}
	image, err = mutate.ConfigFile(image, file)
	must(t, err)
	if !b.Docker {
		image = mutate.Annotations(image, map[string]string{"org.opencontainers.image.title": "base"}).(v1.Image)
	}
	return image
}

// attestation makes the descriptor and manifest that buildx adds for an image.
func attestation(t testing.TB, of v1.Image) mutate.IndexAddendum {
	t.Helper()
	digest, err := of.Digest()
	must(t, err)
	statement := blob{data: []byte(`{"_type":"https://in-toto.io/Statement/v0.1","subject":"` + digest.String() + `"}`), mediaType: "application/vnd.in-toto+json"}
	statement.diffID = SHA256(statement.data)
	image, err := mutate.Append(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: statement, MediaType: statement.mediaType})
	must(t, err)
	return mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{
			"vnd.docker.reference.type":   "attestation-manifest",
			"vnd.docker.reference.digest": digest.String(),
		},
	}}
}

// retyped is a layer by another name.
type retyped struct {
	v1.Layer
	media types.MediaType
}

func (r retyped) MediaType() (types.MediaType, error) { return r.media, nil }

// parse reads os/arch[/variant][:os.version] as it stands, where containerd/platforms
// would normalise it. A version has the feature that Microsoft's large bases have.
func parse(t testing.TB, platform string) *v1.Platform {
	t.Helper()
	platform, version, versioned := strings.Cut(platform, ":")
	parts := strings.Split(platform, "/")
	if len(parts) < 2 || len(parts) > 3 {
		t.Fatalf("testenv: platform %q is not os/arch[/variant]", platform)
	}
	p := &v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	if versioned {
		p.OSVersion, p.OSFeatures = version, []string{"win32k"}
	}
	return p
}
