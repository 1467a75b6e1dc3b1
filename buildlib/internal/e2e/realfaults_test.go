package e2e

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

var seed = flag.Uint64("seed", 0, "the faults of TestRealFaults; 0: some")

// TestRealFaults publishes with the real mage while about a quarter of the
// requests go wrong. Stalls are left out, which take half a minute each to
// notice.
func TestRealFaults(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	proxy := testenv.NewProxy(t, testenv.Registry(t, testenv.RegistryOptions{}).Host)
	var faults []testenv.Fault
	for _, f := range testenv.Faults {
		if f != testenv.Stall && f != testenv.StallData && f != testenv.StallMidway {
			faults = append(faults, f)
		}
	}
	proxy.Plan(func(r testenv.Request) testenv.Fault {
		// By what the request is, not when it comes: uploads overlap.
		h := fnv.New64a()
		fmt.Fprint(h, r.What, " ", r.Occurrence)
		rng := rand.New(rand.NewPCG(*seed, h.Sum64()))
		if f := faults[rng.IntN(len(faults))]; rng.IntN(4) == 0 && r.Suffers(f) {
			return f
		}
		return ""
	})
	e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
	e.env = append(e.env, "MULTIMAGE_REGISTRIES="+proxy.Host+"/acme", "MULTIMAGE_TAGS=latest",
		"MULTIMAGE_PLATFORMS=linux/amd64,linux/arm64")
	printed := e.mage(t, "manifest")
	requests := proxy.Requests()
	sent, bytes := uploads(requests)
	var suffered []string
	for _, r := range requests {
		if r.Fault != "" {
			suffered = append(suffered, r.String())
		}
	}
	t.Logf("%d requests, %d bytes of blobs; faults:\n%s", len(requests), bytes, strings.Join(suffered, "\n"))
	for blob, n := range sent {
		if n.good != 1 {
			t.Errorf("blob %s was taken %d times", blob, n.good)
		}
	}
	tagAfterAll(t, requests)

	proxy.Plan(nil)
	index := testenv.Pull(t, proxy.Host+"/acme/hello:latest")
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if digest, err := index.Digest(); err != nil || printed[0] != proxy.Host+"/acme/hello@"+digest.String() {
		t.Errorf("printed %q, published %s, %v", printed, digest, err)
	}
	proxy.Requests()
	if again := e.mage(t, "manifest"); !slices.Equal(again, printed) {
		t.Errorf("the second run printed %q, the first %q", again, printed)
	}
	// docker-registry lacks the referrers API: what is attached takes two.
	if requests := proxy.Requests(); len(requests) != 4 {
		t.Errorf("the second run took %d requests, want 4: %v", len(requests), requests)
	}
}

// upload is how often a blob went over the wire.
type upload struct{ good, all int }

// uploads counts the uploads of each blob, and their bytes.
func uploads(requests []testenv.Request) (map[string]upload, int64) {
	sent, bytes := map[string]upload{}, int64(0)
	for _, r := range requests {
		if blob := r.Blob(); blob != "" {
			n := sent[blob]
			n.all++
			// After a lost answer it is there.
			if r.Status == 201 || r.Fault == testenv.Lost {
				n.good++
			}
			sent[blob] = n
			bytes += r.Read
		}
	}
	return sent, bytes
}

// tagAfterAll fails the test if anything is sent to a repository after its tag.
func tagAfterAll(t *testing.T, requests []testenv.Request) {
	t.Helper()
	tagged := map[string]bool{}
	for _, r := range requests {
		_, id, manifest := strings.Cut(r.What, "PUT manifests/")
		switch {
		case manifest && !strings.HasPrefix(id, "sha256"): // nor the tag sha256-... of referrers
			tagged[r.Repository] = true
		case tagged[r.Repository] && (manifest || strings.Contains(r.What, " uploads")):
			t.Errorf("%s: %s after a tag", r.Repository, r)
		}
	}
	if len(tagged) == 0 {
		t.Error("no tag was written")
	}
}
