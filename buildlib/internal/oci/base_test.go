package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// blobLayer is a layer of given bytes and claims.
type blobLayer struct {
	blob      []byte
	diffID    v1.Hash
	mediaType types.MediaType
}

func (l blobLayer) Digest() (v1.Hash, error)            { return hashOf(l.blob), nil }
func (l blobLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l blobLayer) Size() (int64, error)                { return int64(len(l.blob)), nil }
func (l blobLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l blobLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.blob)), nil
}
func (l blobLayer) Uncompressed() (io.ReadCloser, error) { return nil, errors.New("not needed") }

func layerOf(t testing.TB, items ...item) blobLayer {
	plain := archive(t, items...)
	return blobLayer{gzipped(t, plain), hashOf(plain), types.OCILayer}
}

// imageOf returns an OCI image for the platform.
func imageOf(t testing.TB, platform string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, l := range layers {
		adds = append(adds, mutate.Addendum{Layer: l})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		t.Fatal(err)
	}
	return withPlatform(t, img, platform)
}

func withPlatform(t testing.TB, img v1.Image, platform string) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// simple returns an image whose only layer is its own.
func simple(t testing.TB, platform string) v1.Image {
	return imageOf(t, platform, layerOf(t, file("etc/passwd", platform)))
}

func indexOf(t testing.TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	var adds []mutate.IndexAddendum
	for _, p := range platforms {
		adds = append(adds, addendum(t, simple(t, p), p))
	}
	return mutate.AppendManifests(empty.Index, adds...)
}

func addendum(t testing.TB, add mutate.Appendable, platform string) mutate.IndexAddendum {
	t.Helper()
	a := mutate.IndexAddendum{Add: add}
	if platform != "" {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		a.Platform = p
	}
	return a
}

func sumOf(t testing.TB, d interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func platformOf(t testing.TB, s string) v1.Platform {
	t.Helper()
	p, err := v1.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return *p
}

// server is a registry that keeps count of what it is asked. Set answer to
// have it misbehave: it reports whether it has answered.
type server struct {
	*httptest.Server
	host   string
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	asked []string // like "GET manifests/1.0"
}

func newServer(t testing.TB) *server {
	s := &server{}
	behind := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+strings.Join(parts[max(0, len(parts)-2):], "/"))
		answer := s.answer
		s.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.host = u.Host
	return s
}

// requests returns what was asked since the last call, but for the ping.
func (s *server) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, r := range s.asked {
		if r != "GET v2/" {
			got = append(got, r)
		}
	}
	s.asked = nil
	return strings.Join(got, ", ")
}

func (s *server) misbehave(answer func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// push puts what into the registry and returns its reference.
func (s *server) push(t testing.TB, ref string, what remote.Taggable) string {
	t.Helper()
	ref = s.host + "/" + ref
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch w := what.(type) {
	case v1.Image:
		err = remote.Write(parsed, w)
	case v1.ImageIndex:
		err = remote.WriteIndex(parsed, w)
	default:
		err = remote.Put(parsed, w)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.requests()
	return ref
}

// newBases returns Bases as a process of its own would have them, with the
// cache in the folder.
func newBases(t testing.TB, cache string) *Bases {
	t.Helper()
	s, err := store.Open(context.Background(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Bases{
		Cache: s,
		Remote: []remote.Option{
			remote.WithContext(context.Background()),
			remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		},
	}
}

func resolve(t testing.TB, b *Bases, ref string) *Source {
	t.Helper()
	s, err := b.Resolve(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func baseFor(t testing.TB, s *Source, platform string) *Base {
	t.Helper()
	base, err := s.For(context.Background(), platformOf(t, platform))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// baseError returns the error of resolving ref and getting the platform.
func baseError(b *Bases, ref, platform string) error {
	s, err := b.Resolve(context.Background(), ref)
	if err != nil {
		return err
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return err
	}
	_, err = s.For(context.Background(), *p)
	return err
}

func wantError(t testing.TB, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got error %v\nwant it to say: %s", err, w)
		}
	}
}

func readLayer(t testing.TB, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A corrupt copy in the cache, whatever its times say, is replaced by the
// origin's in the same run.
func TestBaseOfACorruptCache(t *testing.T) {
	reg := newServer(t)
	img := simple(t, "linux/amd64")
	ref := reg.push(t, "base:1.0", img)
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]v1.Hash{"manifest": sumOf(t, img), "config": config, "layer": layer} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			baseFor(t, resolve(t, newBases(t, cache), ref), "linux/amd64")
			rot(t, cache, h)
			os.RemoveAll(filepath.Join(cache, "records", "tree")) // so that layers are read
			base := baseFor(t, resolve(t, newBases(t, cache), ref), "linux/amd64")
			if base.Digest != sumOf(t, img) {
				t.Errorf("got %s", base.Digest)
			}
			if data, _ := base.Tree.File("/etc/passwd"); string(data) != "linux/amd64" {
				t.Errorf("got passwd %q", data)
			}
		})
	}
}

func TestBaseOfAnIndex(t *testing.T) {
	reg := newServer(t)
	index := indexOf(t, "linux/amd64", "linux/arm64/v8", "linux/arm/v6")
	ref := reg.push(t, "base:1.0", index)
	s := resolve(t, newBases(t, t.TempDir()), ref)
	if s.Name != ref || s.Digest != sumOf(t, index) {
		t.Errorf("got %s %s, want %s %s", s.Name, s.Digest, ref, sumOf(t, index))
	}
	for wanted, child := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/amd64/v3": "linux/amd64",
		"linux/arm64": "linux/arm64/v8", "linux/arm/v7": "linux/arm/v6",
	} {
		base := baseFor(t, s, wanted)
		img := simple(t, child)
		if base.Name != ref || base.Index != s.Digest || base.Digest != sumOf(t, img) {
			t.Errorf("%s: got %s %s %s", wanted, base.Name, base.Index, base.Digest)
		}
		if got := base.Config.Platform().String(); got != child {
			t.Errorf("%s: got the config of %s", wanted, got)
		}
		if data, _ := base.Tree.File("/etc/passwd"); string(data) != child {
			t.Errorf("%s: got passwd %q", wanted, data)
		}
		layers, err := base.Image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatal(layers, err)
		}
		mountable, ok := layers[0].(*remote.MountableLayer)
		if !ok || mountable.Reference.Context().String() != reg.host+"/base" {
			t.Errorf("%s: got a %T, want one to mount from", wanted, layers[0])
		}
		if hashOf(readLayer(t, layers[0])) != sumOf(t, layers[0]) {
			t.Errorf("%s: a layer that isn't its own", wanted)
		}
		back := layerOf(t, file("etc/passwd", child))
		if r, err := layers[0].Uncompressed(); err != nil {
			t.Error(err)
		} else if h, _, err := v1.SHA256(r); err != nil || h != back.diffID || r.Close() != nil {
			t.Errorf("%s: got the content %s, %v", wanted, h, err)
		}
	}
	for wanted, want := range map[string]string{
		"linux/s390x":   "base " + ref + ": no linux/s390x (has linux/amd64, linux/arm64/v8, linux/arm/v6)",
		"linux/386":     "no linux/386 (has",
		"linux/arm/v5":  "no linux/arm/v5 (has",
		"windows/amd64": "no windows/amd64 (has",
	} {
		_, err := s.For(context.Background(), platformOf(t, wanted))
		wantError(t, err, want)
	}
}

// Whatever is asked of the base's image answers as the published one does.
func TestBaseImage(t *testing.T) {
	reg := newServer(t)
	img := imageOf(t, "linux/amd64", layerOf(t, file("a", "")), layerOf(t, file("b", "")))
	base := baseFor(t, resolve(t, newBases(t, t.TempDir()), reg.push(t, "base", img)), "linux/amd64")
	if base.Index != base.Digest {
		t.Errorf("got index %s, image %s", base.Index, base.Digest)
	}
	remoteImg := base.Image
	same := func(what string, of func(v1.Image) (any, error)) {
		got, err := of(remoteImg)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if want, _ := of(img); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	diffID := layerOf(t, file("b", "")).diffID
	same("manifest", func(i v1.Image) (any, error) { b, err := i.RawManifest(); return string(b), err })
	same("config", func(i v1.Image) (any, error) { b, err := i.RawConfigFile(); return string(b), err })
	same("digest", func(i v1.Image) (any, error) { return i.Digest() })
	same("size", func(i v1.Image) (any, error) { return i.Size() })
	same("media type", func(i v1.Image) (any, error) { return i.MediaType() })
	same("config name", func(i v1.Image) (any, error) { return i.ConfigName() })
	same("layer by diff ID", func(i v1.Image) (any, error) {
		l, err := i.LayerByDiffID(diffID)
		if err != nil {
			return nil, err
		}
		return l.Digest()
	})
	same("layer by digest", func(i v1.Image) (any, error) {
		l, err := i.LayerByDigest(sumOf(t, layerOf(t, file("b", ""))))
		if err != nil {
			return nil, err
		}
		return l.DiffID()
	})
	same("config as a layer", func(i v1.Image) (any, error) {
		h, err := i.ConfigName()
		if err != nil {
			return nil, err
		}
		l, err := i.LayerByDigest(h)
		if err != nil {
			return nil, err
		}
		return l.Size()
	})
	if _, err := remoteImg.LayerByDigest(hashOf(nil)); err == nil {
		t.Error("a layer that the image doesn't have")
	}
	if _, err := remoteImg.LayerByDiffID(hashOf(nil)); err == nil {
		t.Error("a diff ID that the image doesn't have")
	}
	// What a caller does to its copies is no one else's business.
	m, _ := remoteImg.Manifest()
	m.Layers = nil
	if again, _ := remoteImg.Manifest(); len(again.Layers) != 2 {
		t.Error("the manifest is shared")
	}
}

func TestDockerBase(t *testing.T) {
	reg := newServer(t)
	plain := archive(t, file("etc/passwd", "docker"))
	img, err := mutate.AppendLayers(empty.Image, blobLayer{gzipped(t, plain), hashOf(plain), types.DockerLayer})
	if err != nil {
		t.Fatal(err)
	}
	img = withPlatform(t, img, "linux/amd64")
	list := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, addendum(t, img, "linux/amd64")), types.DockerManifestList)
	base := baseFor(t, resolve(t, newBases(t, t.TempDir()), reg.push(t, "base", list)), "linux/amd64")
	if data, _ := base.Tree.File("/etc/passwd"); string(data) != "docker" {
		t.Errorf("got %q", data)
	}
	if base.Digest != sumOf(t, img) || base.Index != sumOf(t, list) {
		t.Errorf("got %s %s", base.Index, base.Digest)
	}
}

func TestZstdBase(t *testing.T) {
	reg := newServer(t)
	plain := archive(t, file("etc/passwd", "zstd"))
	img := imageOf(t, "linux/amd64", blobLayer{zstandard(t, plain), hashOf(plain), types.OCILayerZStd},
		blobLayer{archive(t), hashOf(archive(t)), types.OCIUncompressedLayer})
	base := baseFor(t, resolve(t, newBases(t, t.TempDir()), reg.push(t, "base", img)), "linux/amd64")
	if data, _ := base.Tree.File("/etc/passwd"); string(data) != "zstd" {
		t.Errorf("got %q", data)
	}
}

func TestRefusedImages(t *testing.T) {
	reg := newServer(t)
	good := layerOf(t, file("a", ""))
	typed := func(m types.MediaType) v1.Image {
		l := good
		l.mediaType = m
		return imageOf(t, "linux/amd64", l)
	}
	lying := good
	lying.diffID = hashOf([]byte("lie"))
	noDiffIDs := imageOf(t, "linux/amd64", good)
	c, err := noDiffIDs.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.RootFS.DiffIDs = nil
	if noDiffIDs, err = mutate.ConfigFile(noDiffIDs, c); err != nil {
		t.Fatal(err)
	}
	digest := sumOf(t, good).String()
	for _, tt := range []struct {
		name string
		img  v1.Image
		want string
	}{
		{"foreign", typed(types.DockerForeignLayer), "layer " + digest + " may not be distributed"},
		{"nondistributable", typed(types.OCIRestrictedLayer), "layer " + digest + " may not be distributed"},
		{"encrypted", typed("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), "layer " + digest + " is encrypted"},
		{"unknown", typed("application/vnd.acme.layer"), `layer ` + digest + ` is of the unknown type "application/vnd.acme.layer"`},
		{"lying-diff-id", imageOf(t, "linux/amd64", lying), "layer " + digest + ": uncompresses to " + good.diffID.String()},
		{"no-diff-ids", noDiffIDs, "manifest and config disagree: 1 layers, 0 diff IDs"},
		{"another-platform", imageOf(t, "linux/arm64", good), "no linux/amd64 (has linux/arm64)"},
		{"no-platform", imageOf(t, "", good), "its config doesn't say what platform it is for"},
		{"artifact", mutate.ConfigMediaType(imageOf(t, "linux/amd64", good), "application/vnd.acme.config"), `not a container image but an artifact of type "application/vnd.acme.config"`},
		{"hostile", imageOf(t, "linux/amd64", layerOf(t, file("../x", ""))), `entry "../x": a path with ".."`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ref := reg.push(t, tt.name, tt.img)
			wantError(t, baseError(newBases(t, t.TempDir()), ref, "linux/amd64"), "base "+ref+": ", tt.want)
		})
	}
}

// Many platforms and images want a base at once: everything is asked for once.
func TestBasesAreSharedAndAskedForOnce(t *testing.T) {
	reg := newServer(t)
	ref := reg.push(t, "base:1.0", indexOf(t, "linux/amd64", "linux/arm64"))
	b := newBases(t, t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		for _, p := range []string{"linux/amd64", "linux/arm64"} {
			wg.Go(func() {
				if err := baseError(b, ref, p); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	seen := map[string]bool{}
	asked := reg.requests()
	for _, r := range strings.Split(asked, ", ") {
		if seen[r] {
			t.Errorf("asked twice: %s", r)
		}
		seen[r] = true
	}
	// Index; manifest, config and layer for each platform.
	if len(seen) != 7 {
		t.Errorf("got %d requests, want 7: %s", len(seen), asked)
	}
	if one, two := baseFor(t, resolve(t, b, ref), "linux/amd64"), baseFor(t, resolve(t, b, ref), "linux/amd64"); one != two {
		t.Error("a base is made twice")
	}
}

// The layers of a base whose Tree is known are not asked for until they are
// read, and that may be after the context of For has ended.
func TestLayersAreFetchedWhenRead(t *testing.T) {
	reg := newServer(t)
	ref := reg.push(t, "base:1.0", simple(t, "linux/amd64"))
	dir := t.TempDir()
	layer := layerOf(t, file("etc/passwd", "linux/amd64"))
	baseFor(t, resolve(t, newBases(t, dir), ref), "linux/amd64")
	if err := os.Remove(dir + "/blobs/sha256/" + sumOf(t, layer).Hex); err != nil {
		t.Fatal(err)
	}
	reg.requests()

	ctx, cancel := context.WithCancel(context.Background())
	base, err := resolve(t, newBases(t, dir), ref).For(ctx, platformOf(t, "linux/amd64"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := reg.requests(); got != "HEAD manifests/1.0" {
		t.Errorf("asked %s", got)
	}
	layers, err := base.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readLayer(t, layers[0]), layer.blob) {
		t.Error("got another layer")
	}
	if got, want := reg.requests(), "GET blobs/"+sumOf(t, layer).String(); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestCanceledBase(t *testing.T) {
	reg := newServer(t)
	ref := reg.push(t, "base:1.0", simple(t, "linux/amd64"))
	blobs := make(chan struct{}, 10)
	let := make(chan struct{})
	reg.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			blobs <- struct{}{}
			select {
			case <-let:
			case <-r.Context().Done():
			}
		}
		return false
	})
	s := resolve(t, newBases(t, t.TempDir()), ref)
	cause := errors.New("another image failed")
	ctx, cancel := context.WithCancelCause(context.Background())
	gaveUp, went := make(chan error), make(chan error)
	go func() {
		_, err := s.For(ctx, platformOf(t, "linux/amd64"))
		gaveUp <- err
	}()
	<-blobs
	// One that asks for the same base isn't hurt by the other's giving up.
	go func() {
		_, err := s.For(context.Background(), platformOf(t, "linux/amd64"))
		went <- err
	}()
	time.Sleep(10 * time.Millisecond)
	cancel(cause)
	if err := <-gaveUp; !errors.Is(err, cause) {
		t.Errorf("got error %v", err)
	}
	close(let)
	if err := <-went; err != nil {
		t.Error(err)
	}
}
