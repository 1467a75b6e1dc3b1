package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestPublish(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	var last Event
	out, err := c.Publish(t.Context(), repo, idx, []string{"v1", "latest", "v1"}, Hooks{Progress: func(e Event) { last = e }})
	if err != nil {
		t.Fatal(err)
	}
	if out.Uploaded != 5 || out.Children != 2 || len(out.Tags) != 2 || !out.Tags[0].Pushed || out.Digest != testenv.Digest(t, idx) {
		t.Errorf("published %+v", out)
	}
	if last.Sent != last.Total || last.Sent != out.Bytes || out.Bytes == 0 {
		t.Errorf("progress ended at %+v, uploaded %d", last, out.Bytes)
	}
	all := srv.requests()
	// Ping; 2 tags: look, put, read; 2 children: look, put; index: put;
	// 5 blobs: look, begin, send.
	if want := 1 + 2*3 + 2*2 + 1 + 5*3; len(all) != want {
		t.Errorf("first publication: %d requests, want %d:\n%s", len(all), want, strings.Join(all, "\n"))
	}
	for i, r := range all {
		if strings.HasPrefix(r, "PUT /v2/acme/app/manifests/") && !strings.Contains(r, "sha256:") {
			if n := count(all[i:], "PUT /v2/acme/app/manifests/sha256:"); n > 0 {
				t.Errorf("a tag was written before %d manifests", n)
			}
			break
		}
	}
	pullBack(t, repo, "v1", out.Digest)
	pullBack(t, repo, "latest", out.Digest)

	t.Run("unchanged", func(t *testing.T) {
		srv.requests()
		out, err := client(t, Options{}).Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if got := srv.requests(); !slices.Equal(got, []string{"GET /v2/", "HEAD /v2/acme/app/manifests/v1"}) {
			t.Errorf("requests: %q", got)
		}
		if out.Tags[0].Pushed {
			t.Error("the tag counts as pushed")
		}
	})
	t.Run("another tag", func(t *testing.T) {
		srv.requests()
		out, err := c.Publish(t.Context(), repo, idx, []string{"v1", "v2"}, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if got := srv.requests(); len(got) != 4 { // 2 looks, put, read
			t.Errorf("requests: %q", got)
		}
		if out.Tags[0].Pushed || !out.Tags[1].Pushed {
			t.Errorf("tags: %+v", out.Tags)
		}
	})
	t.Run("by digest alone", func(t *testing.T) {
		srv.requests()
		other := testenv.Index(testenv.Image(t, "amd64", testenv.RandomLayer(t, 100)))
		for range 2 {
			if _, err := c.Publish(t.Context(), repo, other, nil, Hooks{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := srv.requests(); count(got, "PUT /v2/acme/app/manifests/") != 2 {
			t.Errorf("requests: %q", got)
		}
	})
	t.Run("one child changed", func(t *testing.T) {
		m, _ := idx.IndexManifest()
		kept, _ := idx.Image(m.Manifests[0].Digest)
		srv.requests()
		out, err := c.Publish(t.Context(), repo, testenv.Index(kept, testenv.Image(t, "arm64", testenv.RandomLayer(t, 50))), []string{"latest"}, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if out.Children != 1 || out.Uploaded != 2 {
			t.Errorf("published %+v", out)
		}
	})
	t.Run("sibling repository", func(t *testing.T) {
		sibling := repository(t, c, srv.host+"/acme/sibling")
		srv.requests()
		out, err := c.Publish(t.Context(), sibling, idx, []string{"v1"}, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		// The registry in the test knows no mounts, and has the blobs of
		// all repositories in common.
		if out.Uploaded != 0 || out.Existing != 5 {
			t.Errorf("published %+v", out)
		}
		if slices.Contains(srv.requests(), "GET /v2/") {
			t.Error("the registry was asked again how to log in")
		}
		pullBack(t, sibling, "v1", out.Digest)
	})
}

// The uploads to all repositories together keep to the bound.
func TestJobs(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	srv := newServer(t, &fault{"PUT /blobs/", 0, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		next.ServeHTTP(w, r)
	}})
	c := client(t, Options{Jobs: 2})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			repo, err := c.Repository(fmt.Sprintf("%s/acme/app%d", srv.host, i))
			if err == nil {
				_, err = c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 2 {
		t.Errorf("%d uploads at once, want 2", most)
	}
	if n := count(srv.requests(), "GET /v2/"); n < 1 || n > 1+3 { // 3 tags read back
		t.Errorf("%d GETs", n)
	}
}

// A tag of one image leads to its manifest, and is written once.
func TestTagImage(t *testing.T) {
	srv := newServer(t)
	c := client(t, Options{})
	repo := repository(t, c, srv.host+"/acme/app")
	idx := testenv.TwoPlatforms(t)
	if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image := m.Manifests[1].Digest
	refuse := Hooks{Ready: func(context.Context) error { return errors.New("not ready") }}
	if _, err := c.TagImage(t.Context(), repo, image, []string{"v1-arm64"}, refuse); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("error %v", err)
	}
	srv.requests()
	out, err := c.TagImage(t.Context(), repo, image, []string{"v1-arm64", "latest-arm64"}, Hooks{})
	if err != nil || len(out.Tags) != 2 || !out.Tags[0].Pushed || !out.Tags[0].Current || !out.Tags[1].Current {
		t.Errorf("tagged %+v, %v", out, err)
	}
	if n := count(srv.requests(), "PUT "); n != 2 {
		t.Errorf("%d manifests were written, want 2", n)
	}
	got, err := remote.Get(repo.Tag("v1-arm64"))
	if err != nil || got.Digest != image {
		t.Errorf("the tag leads to %v, %v, want %s", got, err, image)
	}
	if out, err = c.TagImage(t.Context(), repo, image, []string{"v1-arm64"}, refuse); err != nil || out.Tags[0].Pushed || count(srv.requests(), "PUT ") > 0 {
		t.Errorf("again: %+v, %v", out, err)
	}
	nowhere := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
	if out, err = c.TagImage(t.Context(), repo, nowhere, []string{"v2"}, Hooks{}); err == nil || !strings.Contains(err.Error(), nowhere.String()) || out.Tags[0].Current {
		t.Errorf("an image that isn't there: %+v, %v", out, err)
	}
}
