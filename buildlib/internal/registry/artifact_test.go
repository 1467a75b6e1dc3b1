package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// artifact returns a manifest of one layer and no config, about the subject.
func artifact(t *testing.T, artifactType string, subject *v1.Descriptor, layer []byte) (Manifest, v1.Descriptor) {
	t.Helper()
	blob := func(data []byte) (Blob, v1.Descriptor) {
		h, n, err := v1.SHA256(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		return Blob{Digest: h, Size: n, Open: open}, v1.Descriptor{MediaType: "application/octet-stream", Digest: h, Size: n}
	}
	config, c := blob([]byte("{}"))
	c.MediaType = "application/vnd.oci.empty.v1+json"
	content, l := blob(layer)
	m := Manifest{Type: types.OCIManifestSchema1, Blobs: []Blob{config, content}}
	var err error
	m.Raw, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: m.Type, ArtifactType: artifactType, Config: c, Layers: []v1.Descriptor{l}, Subject: subject,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, l
}

// What is pushed by digest can be pulled by it, through faults, and whoever asks
// for what refers to a subject finds it.
func TestArtifact(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"referrers API": registry.New(registry.WithReferrersSupport(true)),
		"fallback tag":  registry.New(),
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			srv.next = handler
			c := client(t, Options{})
			repo := repository(t, c, srv.host+"/acme/app")
			idx := testenv.TwoPlatforms(t)
			if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
				t.Fatal(err)
			}
			subject := v1.Descriptor{MediaType: types.OCIImageIndex, Digest: testenv.Digest(t, idx)}
			content := bytes.Repeat([]byte("an SBOM "), 1000)
			m, layer := artifact(t, "text/sbom", &subject, content)
			srv.mu.Lock()
			srv.faults = []*fault{
				{"POST /blobs/", 0, 1, answer(503)}, {"PUT /blobs/", 0, 1, resetMidway}, {"PUT /manifests/", 0, 1, answer(503)},
				{"GET /manifests/sha256:", 0, 1, answer(503)}, {"GET /blobs/", 0, 1, truncate}, {"GET /referrers/", 0, 1, answer(503)},
			}
			srv.mu.Unlock()
			digest, err := c.Push(t.Context(), repo, "", m, Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			other, _ := artifact(t, "text/other", &subject, []byte("another"))
			if _, err := c.Push(t.Context(), repo, "", other, Hooks{}); err != nil {
				t.Fatal(err)
			}

			h, got, err := c.Manifest(t.Context(), repo.Digest(digest.String()))
			if err != nil || h != digest || got.Type != m.Type || !bytes.Equal(got.Raw, m.Raw) {
				t.Errorf("pulled %s %+v: %v", h, got, err)
			}
			if data, err := readBlob(t, c, srv, layer); err != nil || !bytes.Equal(data, content) {
				t.Errorf("pulled %d bytes: %v", len(data), err)
			}
			artifactType := "text/sbom"
			if name == "referrers API" {
				artifactType = "application/vnd.oci.empty.v1+json" // ggcr's registry lists the config's type
			}
			list, err := c.Referrers(t.Context(), repo.Digest(subject.Digest.String()), artifactType)
			if name == "referrers API" {
				list = slices.DeleteFunc(list, func(d v1.Descriptor) bool { return d.Digest != digest })
			}
			if err != nil || len(list) != 1 || list[0].Digest != digest {
				t.Errorf("referrers %+v: %v", list, err)
			}
			if list, err := c.Referrers(t.Context(), repo.Digest(subject.Digest.String()), ""); err != nil || len(list) != 2 {
				t.Errorf("all referrers %+v: %v", list, err)
			}
			for _, f := range srv.faults {
				if f.times != -1 {
					t.Errorf("fault at %s did not happen", f.match)
				}
			}

			srv.requests()
			if _, err := c.Push(t.Context(), repo, "", m, Hooks{}); err != nil {
				t.Error(err)
			}
			if got := srv.requests(); !slices.Equal(got, []string{"HEAD /v2/acme/app/manifests/" + digest.String()}) {
				t.Errorf("what is there took %q", got)
			}
			if _, err := c.Push(t.Context(), repo, "cache", other, Hooks{}); err != nil {
				t.Error(err)
			}
			if _, got, err := c.Manifest(t.Context(), repo.Tag("cache")); err != nil || !bytes.Equal(got.Raw, other.Raw) {
				t.Errorf("by tag: %s, %v", got.Raw, err)
			}
		})
	}
}

func readBlob(t *testing.T, c *Client, srv *server, d v1.Descriptor) ([]byte, error) {
	t.Helper()
	r, err := c.Blob(t.Context(), repository(t, c, srv.host+"/acme/app"), d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// A registry that serves something else, or nothing, is found out.
func TestArtifactFails(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{Patience: 30 * time.Millisecond})
	repo := repository(t, c, srv.host+"/acme/app")
	m, layer := artifact(t, "text/sbom", nil, []byte("an SBOM"))
	digest, err := c.Push(t.Context(), repo, "", m, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) { io.WriteString(w, text) }
	}
	for _, test := range []struct {
		name string
		do   func(http.ResponseWriter, *http.Request, http.Handler)
		blob string // in the error
		want string // in the manifest's
	}{
		{"other content", write("an sbom"), "other content: 7 bytes with the digest sha256:", "other content"},
		{"longer", write("an SBOM and more"), "other content: ", "other content"},
		{"shorter", write("an SB"), "other content: 5 bytes", "other content"},
		{"absent", answer(404), "404 Not Found", "404 Not Found"},
		{"forbidden", answer(403), "no permission to pull from " + srv.host + "/acme/app", "no permission to pull"},
		{"down", answer(503), "gave up after", "gave up after"},
	} {
		srv.mu.Lock()
		srv.faults = []*fault{{"GET /blobs/", 0, 0, test.do}, {"GET /manifests/", 0, 0, test.do}}
		srv.mu.Unlock()
		_, err := readBlob(t, c, srv, layer)
		if err == nil || !strings.Contains(err.Error(), test.blob) || !strings.HasPrefix(err.Error(), srv.host+"/acme/app: pull blob sha256:") {
			t.Errorf("%s: blob: %v, want %q", test.name, err, test.blob)
		}
		_, _, err = c.Manifest(t.Context(), repo.Digest(digest.String()))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), srv.host+"/acme/app: pull sha256:") {
			t.Errorf("%s: manifest: %v, want %q", test.name, err, test.want)
		}
		if terr := (*transport.Error)(nil); test.name == "absent" && !errors.As(err, &terr) {
			t.Errorf("the status of %v is lost", err)
		}
	}
}

// Attachments that are refused are named once, in the order in which they were given,
// whichever was refused first and however often they were tried.
func TestRefusedAttachments(t *testing.T) {
	idx := testenv.TwoPlatforms(t)
	index, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	slow := index.Manifests[0].Digest.String()
	refuse := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		raw, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(raw))
		m, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil || m.Subject == nil {
			next.ServeHTTP(w, r)
			return
		}
		if m.Subject.Digest.String() == slow {
			time.Sleep(50 * time.Millisecond)
		}
		w.WriteHeader(http.StatusBadRequest)
	}
	srv := newServer(t,
		&fault{"PUT /manifests/v1", 0, 1, diagnose(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")},
		&fault{"PUT /manifests/", 0, 0, refuse})
	c := client(t, Options{})
	var h Hooks
	var want []string
	for i, d := range index.Manifests {
		m, _ := artifact(t, "application/x.sbom", &d, []byte("sbom"))
		want = append(want, fmt.Sprint("sbom ", i))
		h.Attach = append(h.Attach, Attachment{Name: want[i], Subject: d.Digest, Manifest: m})
	}
	out, err := c.Publish(t.Context(), repository(t, c, srv.host+"/acme/app"), idx, []string{"v1"}, h)
	if err != nil || !slices.Equal(out.NotAttached, want) {
		t.Errorf("%q, %v, want %q", out.NotAttached, err, want)
	}
}
