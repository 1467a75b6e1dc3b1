package registry

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// elsewhere is an index whose images nobody here has.
type elsewhere struct{ embedded }

type embedded = v1.ImageIndex // a field ImageIndex would hide the method

func (elsewhere) Image(v1.Hash) (v1.Image, error) { return nil, errors.New("it is elsewhere") }

func children(t *testing.T, idx v1.ImageIndex) []v1.Descriptor {
	t.Helper()
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Manifests
}

// One process pushes the first image, another the second, a third the index.
func TestJoin(t *testing.T) {
	srv := newServer(t)
	repo := repository(t, client(t, Options{}), srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	var images []v1.Image
	for _, d := range children(t, idx) {
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}

	out, err := client(t, Options{}).PushImages(t.Context(), repo, testenv.Index(images[0]), Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Children != 1 || out.Uploaded != 3 || len(out.Tags) != 0 {
		t.Errorf("pushed %+v", out)
	}
	if got := srv.requests(); count(got, "PUT /v2/acme/app/manifests/") != 1 {
		t.Errorf("more than an image was pushed:\n%s", strings.Join(got, "\n"))
	}

	_, err = client(t, Options{}).Join(t.Context(), repo, elsewhere{idx}, []string{"v1", "latest"}, Hooks{})
	var missing *Missing
	if !errors.As(err, &missing) || len(missing.Images) != 1 || missing.Images[0].Digest != children(t, idx)[1].Digest {
		t.Errorf("joined without the second image: %v", err)
	} else if want := "linux/arm64 " + missing.Images[0].Digest.String(); !strings.HasSuffix(err.Error(), srv.host+"/acme/app: not there: "+want) {
		t.Errorf("error %q doesn't name the image", err)
	}
	if got := srv.requests(); count(got, "PUT") > 0 {
		t.Errorf("an index without all its images was pushed:\n%s", strings.Join(got, "\n"))
	}

	if out, err = client(t, Options{}).PushImages(t.Context(), repo, testenv.Index(images[1]), Hooks{}); err != nil {
		t.Fatal(err)
	}
	if out.Children != 1 || out.Uploaded != 2 || out.Existing != 1 {
		t.Errorf("pushed %+v", out)
	}
	srv.requests()
	if out, err = client(t, Options{}).PushImages(t.Context(), repo, testenv.Index(images...), Hooks{}); err != nil || out.Children != 0 {
		t.Errorf("pushed again: %+v, %v", out, err)
	}
	if got := srv.requests(); len(got) != 3 {
		t.Errorf("to find that all is there took %q", got)
	}

	out, err = client(t, Options{}).Join(t.Context(), repo, elsewhere{idx}, []string{"v1", "latest"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range out.Tags {
		if !tag.Pushed || !tag.Current {
			t.Errorf("tag %+v", tag)
		}
		pullBack(t, repo, tag.Tag, testenv.Digest(t, idx))
	}
	srv.requests()
	if out, err = client(t, Options{}).Join(t.Context(), repo, elsewhere{idx}, []string{"v1"}, Hooks{}); err != nil || out.Tags[0].Pushed || !out.Tags[0].Current {
		t.Errorf("joined again: %+v, %v", out, err)
	}
	got := srv.requests()
	if len(got) != 4 || !slices.Equal(got[:2], []string{"GET /v2/", "HEAD /v2/acme/app/manifests/v1"}) || count(got, "GET /v2/acme/app/manifests/sha256:") != 2 {
		t.Errorf("an index that is there took %q", got)
	}

	// A registry may collect an image though a tag leads to its index.
	gone := children(t, idx)[0]
	if err := remote.Delete(repo.Digest(gone.Digest.String())); err != nil {
		t.Fatal(err)
	}
	srv.requests()
	out, err = client(t, Options{}).Join(t.Context(), repo, elsewhere{idx}, []string{"v1", "latest"}, Hooks{})
	if !errors.As(err, &missing) || len(missing.Images) != 1 || missing.Images[0].Digest != gone.Digest {
		t.Errorf("joined an index whose tags are there and whose image is gone: %+v, %v", out, err)
	}
	if got := srv.requests(); count(got, "PUT") > 0 {
		t.Errorf("something was written:\n%s", strings.Join(got, "\n"))
	}
}

// What looks missing may be there: a replica may not have it yet. What may not
// be looked at is not called missing, and what others pushed under a digest is
// looked into.
func TestJoinLooks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		times   int
		missing bool
		wants   string // of the error
	}{
		{name: "not yet there", status: http.StatusNotFound, times: 1},
		{name: "gone", status: http.StatusNotFound, missing: true, wants: "not there: linux/amd64"},
		{name: "forbidden", status: http.StatusForbidden, wants: "403 Forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			idx := testenv.TwoPlatforms(t)
			c := client(t, Options{})
			repo := repository(t, c, srv.host+"/acme/app")
			if _, err := c.PushImages(t.Context(), repo, idx, Hooks{}); err != nil {
				t.Fatal(err)
			}
			id := children(t, idx)[0].Digest.String()
			srv.mu.Lock()
			srv.faults = append(srv.faults, &fault{"GET /manifests/" + id, 0, tt.times, answer(tt.status)})
			srv.mu.Unlock()
			_, err := c.Join(t.Context(), repo, elsewhere{idx}, []string{"v1"}, Hooks{})
			if (err == nil) != (tt.wants == "") || err != nil && !strings.Contains(err.Error(), tt.wants) {
				t.Errorf("error %v, want %q", err, tt.wants)
			}
			if missing := (*Missing)(nil); errors.As(err, &missing) != tt.missing {
				t.Errorf("error %v is one of a missing image: %v", err, !tt.missing)
			}
			if err != nil && count(srv.requests(), "PUT /v2/acme/app/manifests/v1") > 0 {
				t.Error("the tag was written")
			}
		})
	}
}

// An index that says a wrong size of an image can't be pulled by engines that
// check it.
func TestJoinSize(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	if _, err := c.PushImages(t.Context(), repo, idx, Hooks{}); err != nil {
		t.Fatal(err)
	}
	var adds []mutate.IndexAddendum
	for _, d := range children(t, idx) {
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		d.Size++
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: d})
	}
	_, err := c.Join(t.Context(), repo, mutate.AppendManifests(empty.Index, adds...), []string{"v1"}, Hooks{})
	if err == nil || !strings.Contains(err.Error(), "not the ") {
		t.Errorf("joined with wrong sizes: %v", err)
	}
	if got := srv.requests(); count(got, "PUT /v2/acme/app/manifests/v1") > 0 {
		t.Error("the tag was written")
	}
}

// What the caller knows of the images is compared with what they are.
func TestJoinChecks(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	if _, err := c.PushImages(t.Context(), repo, idx, Hooks{}); err != nil {
		t.Fatal(err)
	}
	other := errors.New("another config than recorded")
	last := children(t, idx)[1]
	_, err := c.Join(t.Context(), repo, elsewhere{idx}, []string{"v1"}, Hooks{Check: func(d v1.Descriptor, m *v1.Manifest, config *v1.ConfigFile) error {
		if len(m.Layers) != 2 || m.Config.Size == 0 {
			t.Errorf("manifest %+v", m)
		}
		if config.Architecture != d.Platform.Architecture {
			t.Errorf("%s: config %+v", d.Platform, config)
		}
		if d.Digest == last.Digest {
			return other
		}
		return nil
	}})
	if !errors.Is(err, other) || !strings.Contains(err.Error(), srv.host+"/acme/app: image "+last.Digest.String()+": another config") {
		t.Errorf("joined with error %v", err)
	}
	if got := srv.requests(); count(got, "PUT /v2/acme/app/manifests/v1") > 0 {
		t.Error("the tag was written")
	}
	// A config that isn't the one, or none.
	any := func(v1.Descriptor, *v1.Manifest, *v1.ConfigFile) error { return nil }
	for want, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"the registry has other content": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { io.WriteString(w, "{}") },
		"other content: ":                flood,
		"not there: linux/":              answer(http.StatusNotFound),
	} {
		srv.mu.Lock()
		srv.faults = []*fault{{"GET /blobs/", 0, 0, do}}
		srv.mu.Unlock()
		if _, err := c.Join(t.Context(), repo, elsewhere{idx}, []string{"v1"}, Hooks{Check: any}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	srv.heal()
	if _, err := c.Join(t.Context(), repo, elsewhere{idx}, []string{"v1"}, Hooks{Check: any}); err != nil {
		t.Error(err)
	}
}

// After a failure it is known which tags are right.
func TestTagStates(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	srv.mu.Lock()
	srv.faults = []*fault{{"PUT /manifests/v2", 0, 0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusConflict) }}}
	srv.mu.Unlock()
	out, err := c.Publish(t.Context(), repo, idx, []string{"v1", "v2", "v3"}, Hooks{})
	if err == nil || !strings.Contains(err.Error(), "push tag v2: 409 Conflict") {
		t.Errorf("a tag that can't be written is the error %v", err)
	}
	if want := []TagState{{"v1", false, true}, {"v2", true, false}, {"v3", true, true}}; !slices.Equal(out.Tags, want) {
		t.Errorf("tags %+v, want %+v", out.Tags, want)
	}
}
