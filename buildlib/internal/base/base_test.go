package base

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

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
			baseFor(t, resolve(t, newResolver(t, cache), ref), "linux/amd64")
			testenv.Rot(t, cache, h)
			os.RemoveAll(filepath.Join(cache, "records", "tree")) // so that layers are read
			base := baseFor(t, resolve(t, newResolver(t, cache), ref), "linux/amd64")
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
	s := resolve(t, newResolver(t, t.TempDir()), ref)
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
		if testenv.SHA256(readLayer(t, layers[0])) != sumOf(t, layers[0]) {
			t.Errorf("%s: a layer that isn't its own", wanted)
		}
		back := layerOf(t, testenv.File("etc/passwd", 0o644, child))
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
	img := imageOf(t, "linux/amd64", layerOf(t, testenv.File("a", 0o644, "")), layerOf(t, testenv.File("b", 0o644, "")))
	base := baseFor(t, resolve(t, newResolver(t, t.TempDir()), reg.push(t, "base", img)), "linux/amd64")
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
	diffID := layerOf(t, testenv.File("b", 0o644, "")).diffID
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
		l, err := i.LayerByDigest(sumOf(t, layerOf(t, testenv.File("b", 0o644, ""))))
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
	if _, err := remoteImg.LayerByDigest(testenv.SHA256(nil)); err == nil {
		t.Error("a layer that the image doesn't have")
	}
	if _, err := remoteImg.LayerByDiffID(testenv.SHA256(nil)); err == nil {
		t.Error("a diff ID that the image doesn't have")
	}
	// What a caller does to its copies doesn't affect the others.
	m, _ := remoteImg.Manifest()
	m.Layers = nil
	if again, _ := remoteImg.Manifest(); len(again.Layers) != 2 {
		t.Error("the manifest is shared")
	}
}

func TestDockerBase(t *testing.T) {
	reg := newServer(t)
	plain := testenv.Tar(t, testenv.File("etc/passwd", 0o644, "docker"))
	img, err := mutate.AppendLayers(empty.Image, blobLayer{testenv.Gzip(t, plain), testenv.SHA256(plain), types.DockerLayer})
	if err != nil {
		t.Fatal(err)
	}
	img = withPlatform(t, img, "linux/amd64")
	list := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, addendum(t, img, "linux/amd64")), types.DockerManifestList)
	base := baseFor(t, resolve(t, newResolver(t, t.TempDir()), reg.push(t, "base", list)), "linux/amd64")
	if data, _ := base.Tree.File("/etc/passwd"); string(data) != "docker" {
		t.Errorf("got %q", data)
	}
	if base.Digest != sumOf(t, img) || base.Index != sumOf(t, list) {
		t.Errorf("got %s %s", base.Index, base.Digest)
	}
}

func TestZstdBase(t *testing.T) {
	reg := newServer(t)
	plain := testenv.Tar(t, testenv.File("etc/passwd", 0o644, "zstd"))
	img := imageOf(t, "linux/amd64", blobLayer{testenv.Zstd(t, plain), testenv.SHA256(plain), types.OCILayerZStd},
		blobLayer{testenv.Tar(t), testenv.SHA256(testenv.Tar(t)), types.OCIUncompressedLayer})
	base := baseFor(t, resolve(t, newResolver(t, t.TempDir()), reg.push(t, "base", img)), "linux/amd64")
	if data, _ := base.Tree.File("/etc/passwd"); string(data) != "zstd" {
		t.Errorf("got %q", data)
	}
}

func TestRefusedImages(t *testing.T) {
	reg := newServer(t)
	good := layerOf(t, testenv.File("a", 0o644, ""))
	typed := func(m types.MediaType) v1.Image {
		l := good
		l.mediaType = m
		return imageOf(t, "linux/amd64", l)
	}
	lying := good
	lying.diffID = testenv.SHA256([]byte("lie"))
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
		{"hostile", imageOf(t, "linux/amd64", layerOf(t, testenv.File("../x", 0o644, ""))), `entry "../x": a path with ".."`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ref := reg.push(t, tt.name, tt.img)
			wantError(t, baseError(newResolver(t, t.TempDir()), ref, "linux/amd64"), "base "+ref+": ", tt.want)
		})
	}
}

// Many platforms and images want a base at once: everything is asked for once.
func TestBasesAreSharedAndAskedForOnce(t *testing.T) {
	reg := newServer(t)
	ref := reg.push(t, "base:1.0", indexOf(t, "linux/amd64", "linux/arm64"))
	b := newResolver(t, t.TempDir())
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
	layer := layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64"))
	baseFor(t, resolve(t, newResolver(t, dir), ref), "linux/amd64")
	if err := os.Remove(dir + "/blobs/sha256/" + sumOf(t, layer).Hex); err != nil {
		t.Fatal(err)
	}
	reg.requests()

	ctx, cancel := context.WithCancel(context.Background())
	base, err := resolve(t, newResolver(t, dir), ref).For(ctx, platformOf(t, "linux/amd64"))
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
	s := resolve(t, newResolver(t, t.TempDir()), ref)
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
