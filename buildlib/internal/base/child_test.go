package base

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestPick(t *testing.T) {
	for _, tt := range []struct{ has, wanted, want string }{
		{"linux/amd64 linux/arm64", "linux/amd64", "linux/amd64"},
		{"linux/amd64 linux/arm64", "linux/arm64", "linux/arm64"},
		{"linux/amd64 linux/arm64/v8", "linux/arm64", "linux/arm64/v8"},
		{"linux/amd64 linux/arm64", "linux/arm64/v8", "linux/arm64"},
		{"linux/amd64 linux/amd64/v2 linux/amd64/v3", "linux/amd64", "linux/amd64"},
		{"linux/amd64 linux/amd64/v2 linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v2"},
		{"linux/amd64 linux/amd64/v2", "linux/amd64/v4", "linux/amd64/v2"},
		{"linux/amd64/v3", "linux/amd64/v2", ""},
		{"linux/amd64/v2", "linux/amd64", ""},
		{"linux/arm/v5 linux/arm/v6 linux/arm/v7", "linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/v5 linux/arm/v6", "linux/arm/v7", "linux/arm/v6"},
		{"linux/arm/v6 linux/arm/v5", "linux/arm/v5", "linux/arm/v5"},
		{"linux/arm/v7", "linux/arm/v6", ""},
		{"linux/arm", "linux/arm/v7", "linux/arm"}, // arm means arm/v7
		{"linux/arm", "linux/arm/v6", ""},
		{"linux/arm/v8 linux/arm/v6", "linux/arm/v7", "linux/arm/v6"},
		{"linux/arm64 linux/arm64/v9", "linux/arm64/v9", "linux/arm64/v9"},
		{"linux/arm64", "linux/arm64/v9", "linux/arm64"},
		{"linux/arm/v7 linux/386", "linux/arm64", ""}, // runs there, but is another architecture
		{"linux/386", "linux/amd64", ""},
		{"linux/ppc64le", "linux/ppc64le/power9", "linux/ppc64le"},
		{"linux/riscv64", "linux/riscv64/rva22u64", "linux/riscv64"},
		{"linux/riscv64/rva22u64", "linux/riscv64", ""},
		{"linux/x86_64", "linux/amd64", "linux/x86_64"}, // a name that old builders wrote
		{"windows/amd64", "linux/amd64", ""},
		{"windows/amd64 linux/amd64", "windows/amd64", "windows/amd64"},
		{"", "linux/amd64", ""},
	} {
		t.Run(tt.wanted+" of "+tt.has, func(t *testing.T) {
			var children []child
			for _, p := range strings.Fields(tt.has) {
				has := platformOf(t, p)
				children = append(children, child{Platform: &has})
			}
			got, ok := pick(children, platformOf(t, tt.wanted))
			if ok != (tt.want != "") || ok && got.Platform.String() != tt.want {
				t.Errorf("got %v, want %q", got.Platform, tt.want)
			}
		})
	}
	first, second := platformOf(t, "linux/amd64"), platformOf(t, "linux/amd64")
	if got, _ := pick([]child{{Platform: &first, Size: 1}, {Platform: &second, Size: 2}}, first); got.Size != 1 {
		t.Error("of two equals, the first isn't picked")
	}
}

func TestIndexesAsTheyAreFound(t *testing.T) {
	reg := newServer(t)
	attested := addendum(t, simple(t, "unknown/unknown"), "unknown/unknown")
	annotated := addendum(t, simple(t, "linux/amd64"), "linux/amd64")
	annotated.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	nested := mutate.AppendManifests(empty.Index,
		addendum(t, indexOf(t, "linux/arm64"), ""),
		addendum(t, simple(t, "linux/amd64"), ""))
	index := mutate.AppendManifests(empty.Index, attested, annotated, addendum(t, nested, ""), addendum(t, simple(t, "linux/riscv64"), ""))
	ref := reg.push(t, "base:1.0", index)
	s := resolve(t, newResolver(t, t.TempDir()), ref)
	for _, p := range []string{"linux/amd64", "linux/arm64", "linux/riscv64"} {
		if base := baseFor(t, s, p); base.Digest != sumOf(t, simple(t, p)) || base.Index != sumOf(t, index) {
			t.Errorf("%s: got %s of %s", p, base.Digest, base.Index)
		}
	}
	_, err := s.For(context.Background(), platformOf(t, "linux/s390x"))
	wantError(t, err, "no linux/s390x (has linux/arm64, linux/amd64, linux/riscv64)")
}

func TestIndexesWithoutEnd(t *testing.T) {
	reg := newServer(t)
	deep := indexOf(t, "linux/amd64")
	for range maxNesting + 1 {
		deep = mutate.AppendManifests(empty.Index, addendum(t, deep, ""))
	}
	ref := reg.push(t, "deep", deep)
	wantError(t, baseError(newResolver(t, t.TempDir()), ref, "linux/amd64"), "indexes nested more than 4 deep")

	b := newResolver(t, t.TempDir())
	p := platformOf(t, "linux/amd64")
	many := make([]v1.Descriptor, maxChildren+1)
	for i := range many {
		many[i] = v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &p, Digest: testenv.SHA256(fmt.Append(nil, i))}
	}
	err := (&Source{bases: b}).children(context.Background(), many, 0, &contents{})
	wantError(t, err, "more than 1000 images")

	// What isn't an image doesn't count.
	for i := range many {
		many[i].MediaType = "application/vnd.acme.thing+json"
	}
	var none contents
	if err := (&Source{bases: b}).children(context.Background(), many, 0, &none); err != nil || len(none.children) != 0 {
		t.Errorf("got %d children, error %v", len(none.children), err)
	}
	for len(many) <= maxListed {
		many = append(many, many...)
	}
	wantError(t, (&Source{bases: b}).children(context.Background(), many, 0, &contents{}), "more than 10000 entries")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Source{bases: b}).children(ctx, many, 0, &contents{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}

	// Few indexes, each many times, down to one without images.
	var level v1.ImageIndex = empty.Index
	for range maxNesting {
		var entries []mutate.IndexAddendum
		for range 30 {
			entries = append(entries, addendum(t, level, ""))
		}
		level = mutate.AppendManifests(empty.Index, entries...)
	}
	ref = reg.push(t, "bomb", level)
	wantError(t, baseError(newResolver(t, t.TempDir()), ref, "linux/amd64"), "has no image at all")

	// Many of them.
	var entries []mutate.IndexAddendum
	for i := range maxIndexes + 1 {
		entries = append(entries, addendum(t, mutate.Annotations(empty.Index, map[string]string{"n": fmt.Sprint(i)}).(v1.ImageIndex), ""))
	}
	ref = reg.push(t, "wide", mutate.AppendManifests(empty.Index, entries...))
	wantError(t, baseError(newResolver(t, t.TempDir()), ref, "linux/amd64"), "more than 100 indexes")
}

// An index that lies about a child's platform is believed, as engines do, and
// pointed out.
func TestIndexThatLies(t *testing.T) {
	reg := newServer(t)
	index := mutate.AppendManifests(empty.Index, addendum(t, simple(t, "linux/amd64"), "linux/arm64"))
	ref := reg.push(t, "base:1.0", index)
	b := newResolver(t, t.TempDir())
	var warned []string
	b.Warn = func(s string) { warned = append(warned, s) }
	baseFor(t, resolve(t, b, ref), "linux/arm64")
	want := "base " + ref + `: its index calls an image linux/arm64 whose own config says "linux/amd64"`
	if len(warned) != 1 || warned[0] != want {
		t.Errorf("got %q, want %q", warned, want)
	}
}

// Sizes get into the manifests of what is built on a base: a wrong one is an
// error, even where the digest is right.
func TestDescriptorWithAnotherSize(t *testing.T) {
	reg := newServer(t)
	img := simple(t, "linux/amd64")
	reg.push(t, "base:img", img)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{len(raw) - 1, len(raw) + 1, -1, 5 << 20} {
		index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":%d,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}]}`,
			types.OCIImageIndex, types.OCIManifestSchema1, size, sumOf(t, img))
		ref := reg.push(t, "base:index", rawManifest(index))
		wantError(t, baseError(newResolver(t, t.TempDir()), ref, "linux/amd64"), sumOf(t, img).String())
	}
}

// rawManifest is an index of given bytes.
type rawManifest string

func (m rawManifest) RawManifest() ([]byte, error)        { return []byte(m), nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
