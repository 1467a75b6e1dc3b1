package buildlib

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// cacheRegistry is a registry that does to its blobs what a test wants.
type cacheRegistry struct {
	host string

	mu      sync.Mutex
	written int64                                         // bytes of blobs and manifests that were sent
	fetched int                                           // blobs
	blob    func(w http.ResponseWriter, h v1.Hash) []byte // instead of the blob, if not nil
}

func newCacheRegistry(t *testing.T) *cacheRegistry {
	t.Helper()
	c := &cacheRegistry{}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.written += max(0, r.ContentLength)
		instead := c.blob
		_, digest, isBlob := strings.Cut(r.URL.Path, "/blobs/")
		if h, err := v1.NewHash(digest); isBlob && err == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			c.fetched++
			if instead != nil {
				if data := instead(w, h); data != nil {
					c.mu.Unlock()
					w.Write(data)
					return
				}
			}
			if w.Header().Get("X-Gone") != "" {
				c.mu.Unlock()
				http.NotFound(w, r)
				return
			}
		}
		c.mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	c.host = strings.TrimPrefix(s.URL, "http://")
	return c
}

func (c *cacheRegistry) do(blob func(http.ResponseWriter, v1.Hash) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blob = blob
}

// since returns what was sent and fetched since the last time.
func (c *cacheRegistry) since() (written int64, fetched int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written, fetched = c.written, c.fetched
	c.written, c.fetched = 0, 0
	return written, fetched
}

// packs are the layers of the only tag, as the registry has it.
func (c *cacheRegistry) packs(t *testing.T) []v1.Descriptor {
	t.Helper()
	repo, err := name.NewRepository(c.host + "/cache")
	if err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(repo)
	if err != nil || len(tags) != 1 {
		t.Fatalf("the cache has the tags %v (%v)", tags, err)
	}
	return c.layers(t, tags[0])
}

// layers are those of a tag, as the registry has it.
func (c *cacheRegistry) layers(t *testing.T, tag string) []v1.Descriptor {
	t.Helper()
	repo, err := name.NewRepository(c.host + "/cache")
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(repo.Tag(tag))
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Layers
}

// machine is a clone with a GOCACHE of its own.
type machine struct {
	dir, cache string
	registry   *cacheRegistry
}

func newMachine(t *testing.T, c *cacheRegistry) machine {
	return machine{project(t, oneMain()), t.TempDir(), c}
}

// build builds the binary anew and returns what go compiled of packages, the digest and the events.
func (m machine) build(t *testing.T, ctx context.Context, write bool) (compiled int, digest string, events *recorder, err error) {
	t.Helper()
	t.Setenv("GOCACHE", m.cache)
	if err := os.RemoveAll(filepath.Join(m.dir, "dist")); err != nil {
		t.Fatal(err)
	}
	before := m.archives(t)
	resolved, err := Project{Dir: m.dir, Version: "1.0", Platforms: []string{"linux/arm64"}, Images: []Image{}, BuildCache: m.registry.host + "/cache"}.Plan(t.Context(), Overrides{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	events = &recorder{}
	b := open(t, resolved, Options{Progress: events.event, WriteBuildCache: write})
	results, err := b.Binaries(ctx)
	if err == nil {
		digest = results[0].Digest.String()
	}
	return m.archives(t) - before, digest, events, err
}

// archives counts the actions whose output go has made here, and that is a
// compiled package: those that were restored have no time.
func (m machine) archives(t *testing.T) int {
	t.Helper()
	n := 0
	actions, err := filepath.Glob(filepath.Join(escape(m.cache), "*", "*-a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range actions {
		fields := strings.Fields(read(t, path))
		if len(fields) != 5 || fields[4] == "0" {
			continue
		}
		f, err := os.Open(filepath.Join(m.cache, fields[2][:2], fields[2]+"-d"))
		if err != nil {
			continue
		}
		begin := make([]byte, 7)
		io.ReadFull(f, begin)
		f.Close()
		if bytes.Equal(begin, []byte("!<arch>")) {
			n++
		}
	}
	return n
}

func cacheWarnings(events *recorder) (list []string) {
	for _, e := range events.of(StepWarn) {
		list = append(list, e.Subject)
	}
	return list
}

// TestBuildCache: one machine compiles and writes, others only read; then what
// goes wrong with registries is put right.
func TestBuildCache(t *testing.T) {
	testenv.Slow(t)
	c := newCacheRegistry(t)
	must := func(m machine, write bool) (int, string, *recorder) {
		t.Helper()
		compiled, digest, events, err := m.build(t, t.Context(), write)
		if err != nil {
			t.Fatal(err)
		}
		return compiled, digest, events
	}
	clean := func(events *recorder) {
		t.Helper()
		if said := cacheWarnings(events); len(said) > 0 {
			t.Errorf("warned %q", said)
		}
	}
	writer := newMachine(t, c)
	all, want, events := must(writer, true)
	clean(events)
	if all < 10 || len(events.of(StepKeep)) != 1 {
		t.Fatalf("the first machine compiled %d packages, and kept %v", all, events.of(StepKeep))
	}
	c.since()

	reader := newMachine(t, c)
	compiled, digest, events := must(reader, false)
	clean(events)
	if compiled != 0 || digest != want || len(events.of(StepRestore)) != 1 {
		t.Errorf("the second machine compiled %d packages into %s, want none, and %s", compiled, digest, want)
	}
	if written, _ := c.since(); written != 0 {
		t.Errorf("a reader sent %d bytes", written)
	}
	must(reader, false)
	if _, fetched := c.since(); fetched > 1 { // the index
		t.Errorf("%d blobs were fetched by one who has all", fetched)
	}
	// Again the same executable: it is kept for others, once.
	must(reader, true)
	if written, _ := c.since(); written < 100_000 {
		t.Errorf("an executable that was made twice is %d bytes", written)
	}
	if _, _, events := must(reader, true); events.of(StepKeep)[0].Detail != "up to date" {
		t.Errorf("a reader that has nothing new kept %v", events.of(StepKeep))
	}
	if written, _ := c.since(); written != 0 {
		t.Errorf("nothing new is %d bytes", written)
	}
	_, digest, events = must(newMachine(t, c), false)
	clean(events)
	if said := events.of(StepCompile)[0].Detail; said != "unchanged" || digest != want {
		t.Errorf("a machine that has the executable made %s, want %s, and said %q", digest, want, said)
	}
	first := c.packs(t)
	c.since()

	// A commit.
	changed := strings.Replace(program, "unset", "changed", 1)
	write(t, filepath.Join(reader.dir, "cmd/server/main.go"), changed)
	compiled, want, events = must(reader, true)
	clean(events)
	second := c.packs(t)
	if compiled != 1 || len(second) != len(first)+1 {
		t.Fatalf("a commit compiled %d packages, and made %d packs of %d", compiled, len(second), len(first))
	}
	var small v1.Descriptor
	for _, d := range second {
		if d.Digest != first[0].Digest {
			small = d
		}
	}
	if written, _ := c.since(); written > 200_000 {
		t.Errorf("a commit sent %d bytes", written)
	}
	after := func(what string, write bool, most int) *recorder {
		t.Helper()
		m := newMachine(t, c)
		putFile(t, m, changed)
		compiled, digest, events := must(m, write)
		if compiled > most || digest != want {
			t.Errorf("%s: compiled %d packages into %s, want %d into %s", what, compiled, digest, most, want)
		}
		return events
	}
	clean(after("after a commit", false, 0))

	// The registry changes a bit, or answers with something else, or has lost a pack.
	for what, do := range map[string]func(http.ResponseWriter, v1.Hash) []byte{
		"foreign": func(_ http.ResponseWriter, h v1.Hash) []byte {
			if h != small.Digest {
				return nil
			}
			return bytes.Repeat([]byte("x"), int(small.Size))
		},
		"lost": func(w http.ResponseWriter, h v1.Hash) []byte {
			if h == small.Digest {
				w.Header().Set("X-Gone", "1")
			}
			return nil
		},
	} {
		c.do(do)
		if said := cacheWarnings(after(what, false, 1)); len(said) != 1 || !strings.Contains(said[0], small.Digest.String()) {
			t.Errorf("%s: warned %q", what, said)
		}
		c.do(nil)
	}
	c.do(func(w http.ResponseWriter, h v1.Hash) []byte {
		if h == small.Digest {
			w.Header().Set("X-Gone", "1")
		}
		return nil
	})
	after("lost, and written again", true, 1)
	c.do(nil)
	clean(after("repaired", false, 0))

	// A run that is cut off while it restores is no harm to the next one.
	cut := newMachine(t, c)
	putFile(t, cut, changed)
	ctx, cancel := context.WithCancel(t.Context())
	c.do(func(_ http.ResponseWriter, h v1.Hash) []byte {
		if h == first[0].Digest {
			cancel()
		}
		return nil
	})
	if _, _, _, err := cut.build(t, ctx, false); err == nil {
		t.Error("a run that was cut off succeeded")
	}
	c.do(nil)
	if compiled, digest, _ := must(cut, false); compiled != 0 || digest != want {
		t.Errorf("after a run that was cut off: compiled %d packages", compiled)
	}

	// Two machines write at once.
	two := []machine{newMachine(t, c), newMachine(t, c)}
	var wait sync.WaitGroup
	for i, m := range two {
		putFile(t, m, strings.Replace(program, "unset", fmt.Sprint("machine ", i), 1))
		resolved, err := Project{Dir: m.dir, Version: "1.0", Platforms: []string{"linux/arm64"}, Images: []Image{}, BuildCache: c.host + "/cache"}.Plan(t.Context(), Overrides{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		b := open(t, resolved, Options{WriteBuildCache: true})
		wait.Go(func() {
			if _, err := b.Binaries(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	clean(after("two writers", false, 1))

	// The registry has gone.
	c.host = refusingRegistry(t)
	compiled, digest, events = must(reader, false)
	if said := cacheWarnings(events); compiled != 0 || digest != want || len(said) != 1 {
		t.Errorf("no registry: compiled %d packages into %s, and warned %q", compiled, digest, said)
	}
}

func putFile(t *testing.T, m machine, text string) {
	t.Helper()
	write(t, filepath.Join(m.dir, "cmd/server/main.go"), text)
}

func TestBuildCacheTags(t *testing.T) {
	base := Plan{Go: Toolchain{Version: "go1.26.8"}}
	call := Compile{Platform: Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, Env: []string{"GOARM=7"}, PackageFlags: "-trimpath"}
	want := base.cacheTag(call)
	if !strings.HasPrefix(want, "go1.26.8-linux-arm-v7-") {
		t.Errorf("the tag is %s", want)
	}
	for what, change := range map[string]func(p *Plan, c *Compile){
		"another Go":       func(p *Plan, c *Compile) { p.Go.Version = "go1.27.0" },
		"an experiment":    func(p *Plan, c *Compile) { p.Go.Experiment = "x" },
		"GOFLAGS":          func(p *Plan, c *Compile) { p.Go.Flags = "-tags=x" },
		"another platform": func(p *Plan, c *Compile) { c.Platform.Variant = "v6"; c.Env = []string{"GOARM=6"} },
		"a build tag":      func(p *Plan, c *Compile) { c.PackageFlags = "-tags=x" },
		"an odd Go version": func(p *Plan, c *Compile) {
			p.Go.Version = "devel go1.27-0123abc Mon Jan 1 X:nocoverageredesign+" + strings.Repeat("x", 90)
		},
	} {
		p, c := base, call
		change(&p, &c)
		tag := p.cacheTag(c)
		if tag == want {
			t.Errorf("%s: the tag is the same", what)
		}
		if _, err := name.NewTag("example.com/cache:"+tag, name.StrictValidation); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What only the linker is told, and the version, change nothing.
	p, c := base, call
	p.Version, c.Args = "2.0", []string{"-ldflags=-X main.version=2.0"}
	if p.cacheTag(c) != want {
		t.Error("the linker's flags change the tag")
	}
}

func TestBuildCacheSignature(t *testing.T) {
	parse := func() *evidence.Key {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := evidence.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ours, theirs := &buildCache{key: parse()}, &buildCache{key: parse()}
	config, _, err := v1.SHA256(strings.NewReader("config"))
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := v1.SHA256(strings.NewReader("other"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := ours.sign()(config)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := evidence.NewStatement(&evidence.Subject{Digest: config}, evidence.SignatureType, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := evidence.Sign(ours.key, statement)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		c         *buildCache
		config    v1.Hash
		signature string
		good      bool
	}{
		{"ours", ours, config, signature, true},
		{"nobody asks", &buildCache{}, config, "", true},
		{"none", ours, config, "", false},
		{"another's", theirs, config, signature, false},
		{"of something else", ours, other, signature, false},
		{"an image's", ours, config, string(image), false},
		{"no signature", ours, config, "{}", false},
	} {
		if err := test.c.checkSignature(test.config, test.signature); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if (&buildCache{}).sign() != nil {
		t.Error("a project that doesn't sign signs")
	}
}
