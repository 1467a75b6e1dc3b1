package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// A registry that doesn't answer leaves another one what it needs to go on.
func TestRegistryThatHangs(t *testing.T) {
	for _, tt := range []struct{ name, hangs string }{
		{"uploads", "PUT /blobs/"},
		{"small requests", "HEAD /manifests/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hanging, released := make(chan struct{}, 1000), make(chan struct{})
			bad := newServer(t, &fault{tt.hangs, 0, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				hanging <- struct{}{}
				select {
				case <-released:
				case <-r.Context().Done():
				}
				next.ServeHTTP(w, r)
			}})
			// The good one is logged in to once the bad one has all it gets.
			begun := make(chan struct{})
			good := newServer(t, &fault{"GET /v2/", 0, 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				close(begun)
				<-hanging
				time.Sleep(50 * time.Millisecond)
				next.ServeHTTP(w, r)
			}})
			c := client(t, Options{Jobs: 2, Stall: time.Minute})
			publish := func(to string) error {
				_, err := c.Publish(t.Context(), repository(t, c, to), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
				return err
			}
			published := make(chan error, 1)
			go func() { published <- publish(good.host + "/acme/app") }()
			// Who begins after another has taken all slots has to wait.
			<-begun
			var bads sync.WaitGroup
			var failed atomic.Int32
			for i := range 12 {
				bads.Go(func() {
					if publish(fmt.Sprintf("%s/acme/app%d", bad.host, i)) != nil {
						failed.Add(1)
					}
				})
			}
			select {
			case err := <-published:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Error("one registry hangs, and another is not published to")
				defer func() { <-published }()
			}
			close(released)
			bads.Wait()
			if failed.Load() > 0 {
				t.Errorf("%d publications to the registry that hung have failed", failed.Load())
			}
		})
	}
}

// However many publications run, their requests to a registry are limited; and those
// that wait for a retry don't count.
func TestSmallRequests(t *testing.T) {
	var now, most atomic.Int32
	srv := newServer(t, &fault{"HEAD /manifests/", 0, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(20 * time.Millisecond)
		next.ServeHTTP(w, r)
	}})
	c := client(t, Options{Jobs: 1, Stall: time.Minute})
	var wait sync.WaitGroup
	for i := range 12 {
		repo, idx := repository(t, c, fmt.Sprintf("%s/acme/app%d", srv.host, i)), testenv.TwoPlatforms(t)
		wait.Go(func() {
			if _, err := c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := most.Load(); got > smallRequests {
		t.Errorf("%d requests at once, want %d at most", got, smallRequests)
	}
}

func TestSmallRequestsBetweenTries(t *testing.T) {
	tried := make(chan struct{}, 100)
	srv := newServer(t, &fault{"HEAD /acme/bad", 0, 0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		tried <- struct{}{}
		w.WriteHeader(http.StatusServiceUnavailable)
	}})
	c := client(t, Options{Jobs: 1, Patience: 10 * time.Hour, Stall: time.Minute})
	c.wire.firstWait = time.Hour
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var wait sync.WaitGroup
	for i := range 2 * smallRequests {
		repo, idx := repository(t, c, fmt.Sprintf("%s/acme/bad%d", srv.host, i)), testenv.TwoPlatforms(t)
		wait.Go(func() {
			if _, err := c.Publish(ctx, repo, idx, []string{"v1"}, Hooks{}); !errors.Is(err, enough) {
				t.Errorf("error %v, want %v", err, enough)
			}
		})
	}
	for range 2 * smallRequests {
		<-tried
	}
	if _, err := c.Publish(t.Context(), repository(t, c, srv.host+"/acme/good"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{}); err != nil {
		t.Error(err)
	}
	cancel(enough)
	wait.Wait()
}
