package base

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestCanonical(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]string{
		"alpine":                           "docker.io/library/alpine:latest",
		"alpine:3.24":                      "docker.io/library/alpine:3.24",
		"acme/base:1":                      "docker.io/acme/base:1",
		"docker.io/alpine:3.24":            "docker.io/library/alpine:3.24",
		"index.docker.io/alpine:3.24":      "docker.io/library/alpine:3.24",
		"alpine" + digest:                  "docker.io/library/alpine" + digest,
		"alpine:3.24" + digest:             "docker.io/library/alpine:3.24" + digest,
		"localhost:5000/a/b" + digest:      "localhost:5000/a/b" + digest,
		"localhost:5000/a/b:1.0" + digest:  "localhost:5000/a/b:1.0" + digest,
		"ghcr.io/x/y:v1":                   "ghcr.io/x/y:v1",
		"registry.example.com:443/x/y:1.2": "registry.example.com:443/x/y:1.2",
	} {
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonical(parsed); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}

// What a base costs the second time.
func TestRequests(t *testing.T) {
	reg := newServer(t)
	dir := t.TempDir()
	first := indexOf(t, "linux/amd64")
	ref := reg.push(t, "base:1.0", first)
	pinned := reg.host + "/base:1.0@" + sumOf(t, first).String()
	use := func(ref string) v1.Hash {
		t.Helper()
		s := resolve(t, newResolver(t, dir), ref)
		baseFor(t, s, "linux/amd64")
		return s.Digest
	}
	use(ref)
	if got := reg.requests(); !strings.HasPrefix(got, "GET manifests/1.0, GET manifests/sha256:") || strings.Count(got, ", ") != 3 {
		t.Errorf("at first: %s", got)
	}
	use(ref)
	if got := reg.requests(); got != "HEAD manifests/1.0" {
		t.Errorf("a known tag: %s", got)
	}
	use(pinned)
	if got := reg.requests(); got != "" {
		t.Errorf("pinned: %s", got)
	}

	moved := indexOf(t, "linux/amd64", "linux/arm64")
	reg.push(t, "base:1.0", moved)
	if got := use(ref); got != sumOf(t, moved) {
		t.Errorf("a moved tag: got %s", got)
	}
	if got := reg.requests(); got != "HEAD manifests/1.0, GET manifests/1.0" {
		t.Errorf("a moved tag: %s", got)
	}

	// A registry whose HEAD is of no use is asked with GET.
	reg.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		return false
	})
	use(ref)
	if got := reg.requests(); got != "HEAD manifests/1.0, GET manifests/1.0" {
		t.Errorf("without HEAD: %s", got)
	}

	// A pinned base needs no registry.
	reg.Close()
	use(pinned)
	wantError(t, baseError(newResolver(t, dir), ref, "linux/amd64"), "base "+ref+": registry "+reg.host+" can't be reached: ", "refused")
}

// A damaged cache costs a download and nothing else.
func TestDamagedCache(t *testing.T) {
	reg := newServer(t)
	dir := t.TempDir()
	ref := reg.push(t, "base:1.0", simple(t, "linux/amd64"))
	baseFor(t, resolve(t, newResolver(t, dir), ref), "linux/amd64")
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/tmp/") {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(`{"Data":"bm90IGEgdHJlZQ=="}`), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	base := baseFor(t, resolve(t, newResolver(t, dir), ref), "linux/amd64")
	if data, _ := base.Tree.File("/etc/passwd"); string(data) != "linux/amd64" {
		t.Errorf("got %q", data)
	}
}

// The digest is that of the bytes, whatever the registry's header says.
func TestRegistryLiesAboutTheDigest(t *testing.T) {
	reg := newServer(t)
	img := simple(t, "linux/amd64")
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	ref := reg.push(t, "base:1.0", img)
	reg.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Docker-Content-Digest", testenv.SHA256([]byte("lie")).String())
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		w.Write(raw)
		return true
	})
	if s := resolve(t, newResolver(t, t.TempDir()), ref); s.Digest != sumOf(t, img) {
		t.Errorf("got %s", s.Digest)
	}
	pinned := reg.host + "/base@" + testenv.SHA256([]byte("lie")).String()
	wantError(t, baseError(newResolver(t, t.TempDir()), pinned, "linux/amd64"), "base "+pinned+": ", "does not match requested digest")
}

func TestRegistryErrors(t *testing.T) {
	reg := newServer(t)
	img := simple(t, "linux/amd64")
	ref := reg.push(t, "base:1.0", img)
	layer := sumOf(t, layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64")))
	size := len(layerOf(t, testenv.File("etc/passwd", 0o644, "linux/amd64")).blob)
	at := func(part string, answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, part) {
				return false
			}
			answer(w)
			return true
		}
	}
	status := func(code int, body string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	typed := func(mediaType, body string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", mediaType)
			fmt.Fprint(w, body)
		}
	}
	answer := func(code string) string { return `{"errors":[{"code":"` + code + `","message":"no"}]}` }
	html := "<html>" + strings.Repeat("welcome", 500)
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		want   string
		status int // of the transport.Error in the chain, if any
	}{
		{"no such tag", at("/manifests/", status(404, answer("MANIFEST_UNKNOWN"))), "not found in the registry " + reg.host + " (404 Not Found, MANIFEST_UNKNOWN): check the name and the tag", 404},
		{"no such name", at("/manifests/", status(404, answer("NAME_UNKNOWN"))), "not found in the registry " + reg.host + " (404 Not Found, NAME_UNKNOWN)", 404},
		{"404 page", at("/manifests/", status(404, html)), "not found in the registry " + reg.host + " (404 Not Found): check", 404},
		{"login", at("/manifests/", status(401, answer("UNAUTHORIZED"))), "docker login " + reg.host, 401},
		{"forbidden", at("/manifests/", status(403, answer("DENIED"))), "(403 Forbidden, DENIED): check the name, or run docker login " + reg.host, 403},
		{"forbidden at once", at("/v2/", status(403, html)), "docker login " + reg.host, 403},
		{"too many", at("/manifests/", status(429, answer("TOOMANYREQUESTS"))), "registry " + reg.host + " accepts no more requests for now (429 Too Many Requests, TOOMANYREQUESTS)", 429},
		{"broken", at("/manifests/", status(500, html)), "registry " + reg.host + " fails (500 Internal Server Error)", 500},
		{"elsewhere", at("/manifests/", func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://nowhere.invalid/x?token=secret")
			w.WriteHeader(http.StatusFound)
		}), "registry " + reg.host + " sends the request to nowhere.invalid, which can't be reached: ", 0},
		{"says more", at("/manifests/", status(400, `{"errors":[{"code":"MANIFEST_INVALID","message":"no\u001b[31m","detail":{"message":"'subject' was unexpected"}}]}`)),
			`(400 Bad Request, MANIFEST_INVALID); it says: no[31m: {"message":"'subject' was unexpected"}`, 400},
		{"html", at("/manifests/", typed("text/html; charset=utf-8", html)), `registry ` + reg.host + ` answers with "text/html; charset=utf-8" where a manifest should be: is it a registry?`, 0},
		{"broken json", at("/manifests/", typed(string(types.OCIManifestSchema1), `{"schemaVersion":`)), "not an image manifest: unexpected end of JSON input", 0},
		{"other json", at("/manifests/", typed("application/json", `{"hello":"world"}`)), `not an image manifest: no "schemaVersion": 2`, 0},
		{"artifact manifest", at("/manifests/", typed("application/json", `{"schemaVersion":2,"mediaType":"application/vnd.acme+json","layers":[]}`)), "not an image manifest but application/vnd.acme+json", 0},
		{"both", at("/manifests/", typed(string(types.OCIImageIndex), `{"schemaVersion":2,"manifests":[],"layers":[]}`)), "it could be read as an index, too", 0},
		{"bad index", at("/manifests/", typed(string(types.OCIImageIndex), `{"schemaVersion":2,"manifests":[{"digest":"md5:1"}]}`)), "not a valid index", 0},
		{"bad manifest", at("/manifests/", typed(string(types.OCIManifestSchema1), `{"schemaVersion":2,"config":7}`)), "not a valid image manifest", 0},
		{"empty index", at("/manifests/", typed(string(types.OCIImageIndex), `{"schemaVersion":2,"manifests":[]}`)), "no linux/amd64 (has no image at all)", 0},
		{"schema 1", at("/manifests/", typed(string(types.DockerManifestSchema1Signed), `{"schemaVersion":1,"fsLayers":[]}`)), "a Docker schema 1 image, a format deprecated in 2017", 0},
		{"long manifest", at("/manifests/", typed(string(types.OCIImageIndex), `{"schemaVersion":2,"manifests":[]`+strings.Repeat(" ", 5<<20)+`}`)), "more than the 4194304", 0},
		{"lost layer", at("/blobs/"+layer.String(), status(404, answer("BLOB_UNKNOWN"))), "layer " + layer.String() + ": not found in the registry " + reg.host + " (404 Not Found, BLOB_UNKNOWN): the base is incomplete", 404},
		{"truncated layer", at("/blobs/"+layer.String(), func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.Write(make([]byte, 50))
		}), fmt.Sprintf("layer %s is truncated: got 50 of %d bytes: unexpected EOF", layer, size), 0},
		{"short layer", at("/blobs/"+layer.String(), func(w http.ResponseWriter) { w.Write(make([]byte, 50)) }), fmt.Sprintf("layer %s is truncated: got 50 of %d bytes", layer, size), 0},
		{"other layer", at("/blobs/"+layer.String(), func(w http.ResponseWriter) { w.Write(make([]byte, size)) }), "layer " + layer.String() + " has the wrong content", 0},
		{"long layer", at("/blobs/"+layer.String(), func(w http.ResponseWriter) { w.Write(make([]byte, size+100)) }), fmt.Sprintf("layer %s is longer than the %d bytes", layer, size), 0},
		{"other config", at("/blobs/"+configName(t, img).String(), func(w http.ResponseWriter) { fmt.Fprint(w, "{}") }), "config: sha256:", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg.misbehave(tt.answer)
			err := baseError(newResolver(t, t.TempDir()), ref, "linux/amd64")
			wantError(t, err, "base "+ref+": ", tt.want)
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			var typed *transport.Error
			if errors.As(err, &typed); tt.status != 0 && (typed == nil || typed.StatusCode != tt.status) {
				t.Errorf("got %v in the chain, want a status of %d", typed, tt.status)
			}
		})
	}
}

func configName(t testing.TB, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestReferencesThatAreNone(t *testing.T) {
	b := newResolver(t, t.TempDir())
	for ref, want := range map[string]string{
		"docker://alpine:3.24": `base docker://alpine:3.24: not an image reference: leave out "docker://", as in alpine:3.24`,
		"Alpine":               "base Alpine: not an image reference: ",
		"alpine:a:b":           "base alpine:a:b: not an image reference: ",
		"alpine@sha256:12":     "base alpine@sha256:12: not an image reference: ",
		"alpine@sha512:" + strings.Repeat("a", 128): "only sha256 digests are supported",
	} {
		_, err := b.Resolve(context.Background(), ref, v1.Hash{})
		wantError(t, err, want)
	}
}

func TestReferenceDecides(t *testing.T) {
	b := newResolver(t, t.TempDir())
	b.Reference = func(s string) (name.Reference, error) { return nil, fmt.Errorf("%s is not for you", s) }
	_, err := b.Resolve(context.Background(), "alpine", v1.Hash{})
	wantError(t, err, "base alpine: not an image reference: alpine is not for you")
}

// expiring is an origin whose login ends before the blob does, but once it gets
// as far as enough.
type expiring struct {
	blob         []byte
	step, enough int
	opened       int
}

type expired struct{ error }

func (expired) StartOver() bool { return true }

func (o *expiring) reference() name.Reference { return nil }

func (o *expiring) open(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	o.opened++
	if n := o.opened * o.step; n < o.enough {
		return io.NopCloser(io.MultiReader(bytes.NewReader(o.blob[:min(n, len(o.blob)-1)]), iotest.ErrReader(expired{errors.New("401 Unauthorized")}))), nil
	}
	return io.NopCloser(bytes.NewReader(o.blob)), nil
}

// A transfer that can't go on is begun anew while it gets further.
func TestTransfersBeginAnew(t *testing.T) {
	blob := bytes.Repeat([]byte("x"), 1000)
	for _, tt := range []struct {
		step, enough, opened int
		ok                   bool
	}{
		{300, 800, 3, true},
		{0, 800, 1, false},
		{1, 800, maxTransfers, false},
	} {
		b := newResolver(t, t.TempDir())
		if err := b.start(); err != nil {
			t.Fatal(err)
		}
		from := &expiring{blob: blob, step: tt.step, enough: tt.enough}
		err := (&Source{bases: b, from: from}).download(t.Context(), v1.Descriptor{Digest: testenv.SHA256(blob), Size: int64(len(blob))})
		if (err == nil) != tt.ok || from.opened != tt.opened {
			t.Errorf("%+v: opened %d times, %v", tt, from.opened, err)
		}
	}
}
