package registry

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

var everyFault = flag.Bool("faults", false, "every fault at every request of a publication, not only at one of each kind")

// matrix publishes through proxies before one registry.
type matrix struct {
	t    *testing.T
	host string            // of the registry itself
	all  []testenv.Request // of a publication without faults, in terms of roles
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, host: testenv.Registry(t, testenv.RegistryOptions{}).Host}
	s := m.subject("clean")
	if err := s.publish(Options{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	m.all = s.requests()
	slices.SortStableFunc(m.all, func(a, b testenv.Request) int { return strings.Compare(a.What, b.What) })
	// What faults happen to, and so the rest of the test, rests on these.
	if puts, _ := trace(m.all); len(m.all) != 24 || len(puts) != 5 {
		t.Fatalf("a publication takes %d requests, %d uploads: %v", len(m.all), len(puts), m.all)
	}
	return m
}

// subject is an index that no other case has, its repository, and the proxy on
// the way there. The registry keeps content of all repositories in one place,
// and while it writes a file again it answers 500 to those who read it.
type subject struct {
	*matrix
	*testenv.Proxy
	repository string
	idx        v1.ImageIndex
	want       v1.Hash
	roles      *strings.Replacer        // digests to what is the same in all cases
	blobs      map[string]v1.Descriptor // by role
}

func (m *matrix) subject(repository string) *subject {
	m.t.Helper()
	s := &subject{matrix: m, Proxy: testenv.NewProxy(m.t, m.host), repository: repository, idx: testenv.TwoPlatforms(m.t), blobs: map[string]v1.Descriptor{}}
	s.want = testenv.Digest(m.t, s.idx)
	roles := []string{s.want.String(), "sha256:index"}
	idx, err := s.idx.IndexManifest()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range idx.Manifests {
		roles = append(roles, d.Digest.String(), "sha256:"+d.Platform.Architecture)
		img, err := s.idx.Image(d.Digest)
		if err != nil {
			m.t.Fatal(err)
		}
		child, err := img.Manifest()
		if err != nil {
			m.t.Fatal(err)
		}
		for i, b := range append(child.Layers, child.Config) {
			role := fmt.Sprintf("sha256:%s-%d", d.Platform.Architecture, i)
			if i == 0 {
				role = "sha256:shared" // see testenv.TwoPlatforms
			}
			s.blobs[role] = b
			roles = append(roles, b.Digest.String(), role)
		}
	}
	s.roles = strings.NewReplacer(roles...)
	return s
}

// suffer plans the fault for the request at, or all that ask for the same.
func (s *subject) suffer(at testenv.Request, fault testenv.Fault, lasting bool) {
	s.Plan(func(r testenv.Request) testenv.Fault {
		if s.roles.Replace(r.What) == at.What && (lasting || r.Occurrence == at.Occurrence) {
			return fault
		}
		return ""
	})
}

// requests are those since the last time, in terms of roles.
func (s *subject) requests() []testenv.Request {
	all := s.Requests()
	for i := range all {
		all[i].What = s.roles.Replace(all[i].What)
	}
	return all
}

// publish publishes the index as a run of its own would.
func (s *subject) publish(o Options) error {
	o.Keychain = authn.NewMultiKeychain()
	c := NewClient(s.t.Context(), o)
	defer c.Close()
	c.wire.firstWait = time.Millisecond
	repo, err := c.Repository(s.Host + "/" + s.repository)
	if err != nil {
		return err
	}
	_, err = c.Publish(s.t.Context(), repo, s.idx, []string{"v1"}, Hooks{})
	return err
}

// get gets something of the repository from the registry itself; nil: it isn't
// there. While the registry writes a manifest a second time, after an answer
// was lost, it may answer 500.
func (s *subject) get(what string) (data []byte, err error) {
	for range 20 {
		var code int
		if data, code, err = s.fetch(what); err != nil || code == http.StatusOK {
			return data, err
		}
		if code == http.StatusNotFound {
			return nil, nil
		}
		err = fmt.Errorf("%s: %d", what, code)
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

func (s *subject) fetch(what string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.host+"/v2/"+s.repository+"/"+what, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", manifestTypes)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return data, resp.StatusCode, err
}

// getAs gets what must be there with the digest.
func (s *subject) getAs(what string, digest v1.Hash) ([]byte, error) {
	data, err := s.get(what)
	if err != nil {
		return nil, err
	}
	if h, _, _ := v1.SHA256(bytes.NewReader(data)); h != digest {
		return nil, fmt.Errorf("%s is %d bytes with the digest %s, want %s", what, len(data), h, digest)
	}
	return data, nil
}

// whole is an error unless the manifest id is the index, and all that it leads
// to can be had, byte by byte.
func (s *subject) whole(id string) error {
	data, err := s.getAs("manifests/"+id, s.want)
	if err != nil {
		return err
	}
	idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return err
	}
	for _, d := range idx.Manifests {
		data, err := s.getAs("manifests/"+d.Digest.String(), d.Digest)
		if err != nil {
			return err
		}
		child, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			return err
		}
		for _, b := range append(child.Layers, child.Config) {
			if _, err := s.getAs("blobs/"+b.Digest.String(), b.Digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// tagged reports whether there is a tag; it is an error if that is to something
// incomplete.
func (s *subject) tagged() (bool, error) {
	data, err := s.get("manifests/v1")
	if err != nil || data == nil {
		return false, err
	}
	return true, s.whole("v1")
}

// missing are the blobs that the repository lacks, by role, and their size.
func (s *subject) missing() (map[string]int64, error) {
	missing := map[string]int64{}
	for role, b := range s.blobs {
		data, err := s.get("blobs/" + b.Digest.String())
		if err != nil {
			return nil, err
		}
		if data == nil {
			missing[role] = b.Size
		}
	}
	return missing, nil
}

// trace is what uploads a run made.
func trace(requests []testenv.Request) (puts map[string]int, bytes int64) {
	puts = map[string]int{}
	for _, r := range requests {
		if r.Blob() != "" {
			puts[r.Blob()]++
			bytes += r.Read
		}
	}
	return puts, bytes
}

// cases calls f for faults at requests, many at once; first for those where
// time is spent waiting. Without -faults, each fault happens at the first
// request of each kind only.
func (m *matrix) cases(faults []testenv.Fault, f func(s *subject, at testenv.Request, fault testenv.Fault) error) (n int) {
	var some []testenv.Request
	kinds := map[string]bool{}
	for _, at := range m.all {
		kind, _, _ := strings.Cut(at.What, ":")
		if !kinds[kind] || *everyFault || at.What == "PUT manifests/sha256:index" {
			some = append(some, at)
		}
		kinds[kind] = true
	}
	faults = slices.Clone(faults)
	slices.SortStableFunc(faults, func(a, b testenv.Fault) int { return cmp.Compare(stallOf(a), stallOf(b)) })
	var g errgroup.Group
	g.SetLimit(16)
	for _, fault := range faults {
		for _, at := range some {
			if !at.Suffers(fault) {
				continue
			}
			n++
			s := m.subject(fmt.Sprintf("case%d", n))
			g.Go(func() error {
				if err := f(s, at, fault); err != nil {
					m.t.Errorf("%s at %s #%d: %v", fault, at.What, at.Occurrence, err)
				}
				return nil
			})
		}
	}
	g.Wait()
	return n
}

// watch checks at the moment when a tag is about to be written that it will not
// point to something incomplete.
func (s *subject) watch() (problem func() error) {
	var mu sync.Mutex
	var problems []error
	s.Before(func(r testenv.Request) {
		if r.What != "PUT manifests/v1" {
			return
		}
		if err := s.whole(s.want.String()); err != nil {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, fmt.Errorf("the tag was written too early: %w", err))
		}
	})
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		return errors.Join(problems...)
	}
}
