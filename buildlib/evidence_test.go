package buildlib

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// askedRegistry is a registry that keeps what it was asked, and refuses what has a
// subject if it is to.
type askedRegistry struct {
	host     string
	refuse   bool
	mu       sync.Mutex
	requests []string
}

func newAskedRegistry(t *testing.T, referrers bool) *askedRegistry {
	t.Helper()
	w := &askedRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers))
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		refuse := w.refuse
		w.mu.Unlock()
		if refuse && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte(`"subject"`)) {
				http.Error(rw, `{"errors":[{"code":"MANIFEST_INVALID","message":"no artifacts here"}]}`, http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	w.host = strings.TrimPrefix(s.URL, "http://")
	return w
}

// take returns what was asked since the last call.
func (w *askedRegistry) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.requests
	w.requests = nil
	return list
}

// attached lists the artifact types of what refers to a digest, sorted.
func (w *askedRegistry) attached(t *testing.T, repository string, h v1.Hash) []string {
	t.Helper()
	idx, err := remote.Referrers(w.digest(t, repository, h))
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, d := range m.Manifests {
		raw, err := remote.Get(w.digest(t, repository, d.Digest))
		if err != nil {
			t.Fatal(err)
		}
		_, typ, _ := strings.Cut(string(raw.Manifest), `"artifactType":"`)
		typ, _, _ = strings.Cut(typ, `"`)
		list = append(list, typ)
	}
	slices.Sort(list)
	return list
}

func (w *askedRegistry) digest(t *testing.T, repository string, h v1.Hash) name.Digest {
	t.Helper()
	d, err := name.NewDigest(w.host+"/"+repository+"@"+h.String(), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newKey writes a private key, and returns its file.
func newKey(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "key.pem")
	write(t, at, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return at
}

var signedTypes = []string{
	"application/spdx+json",
	string(evidence.BundleType), string(evidence.BundleType), string(evidence.BundleType),
	"application/vnd.in-toto+json",
}

func TestAttached(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		t.Run(map[bool]string{true: "referrers API", false: "fallback tag"}[referrers], func(t *testing.T) {
			dir := project(t, oneMain())
			reg := newAskedRegistry(t, referrers)
			p := Project{Version: "1.0", Registries: []string{reg.host}, Evidence: []string{}}
			plain, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			reg.take()
			if _, err := plan(t, dir, p, Overrides{}).Manifest(t.Context()); err != nil {
				t.Fatal(err)
			}
			without := len(reg.take())

			p.Evidence, p.Sign = nil, newKey(t)
			list, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if list[0].Digest != plain[0].Digest {
				t.Errorf("evidence makes another index: %s, %s without", list[0].Digest, plain[0].Digest)
			}
			subjects := []v1.Hash{list[0].Digest, list[0].Platforms[0].Digest, list[0].Platforms[1].Digest}
			for _, h := range subjects {
				if got := reg.attached(t, "server", h); !slices.Equal(got, signedTypes) {
					t.Errorf("%s has %q", h, got)
				}
			}
			tags, err := remote.List(reg.digest(t, "server", list[0].Digest).Context())
			want := []string{"1.0"}
			if !referrers {
				for _, h := range subjects {
					want = append(want, "sha256-"+h.Hex)
				}
			}
			slices.Sort(want)
			if slices.Sort(tags); err != nil || !slices.Equal(tags, want) {
				t.Errorf("tags %q, want %q: %v", tags, want, err)
			}

			reg.take()
			if _, err := plan(t, dir, p, Overrides{}).Manifest(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := reg.take()
			if more := len(again) - without; more > 2 || slices.ContainsFunc(again, func(r string) bool { return strings.HasPrefix(r, "PUT") }) {
				t.Errorf("unchanged, %d requests more than without evidence:\n%s", more, strings.Join(again, "\n"))
			}
		})
	}
}

// The tag is not written before what is attached is there.
func TestAttachedBeforeTag(t *testing.T) {
	dir := project(t, oneMain())
	reg := newAskedRegistry(t, true)
	p := Project{Version: "1.0", Registries: []string{reg.host}}
	list, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var puts []string
	for _, r := range reg.take() {
		if path, ok := strings.CutPrefix(r, "PUT /v2/server/manifests/"); ok {
			puts = append(puts, path)
		}
	}
	// Two children, the index, two of each, the tag.
	if len(puts) != 2+1+6+1 || puts[len(puts)-1] != "1.0" {
		t.Errorf("manifests in this order: %q", puts)
	}
	if got := list[0].Published[0].NotAttached; got != nil {
		t.Errorf("not attached: %q", got)
	}
}

func TestRefusedArtifacts(t *testing.T) {
	dir := project(t, oneMain())
	reg := newAskedRegistry(t, true)
	reg.refuse = true
	p := Project{Version: "1.0", Registries: []string{reg.host}, Platforms: []string{"linux/amd64"}}
	list, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := list[0].Published[0].NotAttached
	if want := []string{"sbom of index", "provenance of index", "sbom of linux-amd64", "provenance of linux-amd64"}; !slices.Equal(got, want) {
		t.Errorf("not attached: %q", got)
	}
	// A signature was asked for: what has none gets no tag.
	p.Sign, p.Tags = newKey(t), []string{"signed"}
	_, err = plan(t, dir, p, Overrides{}).Manifest(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no artifacts here") {
		t.Errorf("signed: %v", err)
	}
	if _, err := remote.Head(reg.digest(t, "server", list[0].Digest).Context().Tag("signed")); err == nil {
		t.Error("the tag was written without a signature")
	}
}

// The project's folder isn't in provenance, and what only resembles it stays.
func TestParameters(t *testing.T) {
	p := &Plan{Dir: "/app", Go: Toolchain{Version: "go1.26.8", Flags: "-modfile=/app/other.mod"}, Compiles: []Compile{{
		Args:  []string{"-ldflags=-X example.com/app/version.Name=x", "-overlay=/app/overlay.json"},
		Env:   []string{"CC=/app/cc", "CGO_CFLAGS=-I/app/include -I/app-data", "GOPROXY=file:///app/proxy", "LIST=/app:/app/app"},
		Mains: []Main{{Binary: "server", Package: "example.com/app/cmd/server"}},
	}}}
	pp := PlatformPlan{
		Base: "oci:/app/base", Lock: &PackageLock{Base: "oci:/app/base"},
		Binaries: []PlacedBinary{{Binary: "server", Path: "/app/server"}}, Smoke: []string{"/app/check"},
	}
	data, err := p.parameters(pp)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"flags":"-modfile=./other.mod"`, `"-ldflags=-X example.com/app/version.Name=x"`, `"-overlay=./overlay.json"`,
		`"CC=./cc"`, `"CGO_CFLAGS=-I./include -I/app-data"`, `"GOPROXY=file://./proxy"`, `"LIST=.:./app"`,
		`"example.com/app/cmd/server"`, `"path":"/app/server"`, `"/app/check"`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("parameters lack %s:\n%s", want, data)
		}
	}
	// Nor does the folder make it another Go.
	if differs := p.goDiffers(fmt.Appendf(nil, `{"buildDefinition":{"externalParameters":{"platforms":[{"parameters":%s}]}}}`, data)); differs != "" {
		t.Errorf("the same Go differs: %s", differs)
	}
	if n := strings.Count(string(data), `"base":"oci:./base"`); n != 2 || pp.Lock.Base != "oci:/app/base" {
		t.Errorf("the base is there %d times, and in the plan's lock %s:\n%s", n, pp.Lock.Base, data)
	}
}

// Several machines say the same as one.
func TestEvidenceOfFleet(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir, "v1.0.0")
	one, many := newAskedRegistry(t, true), newAskedRegistry(t, true)
	p := Project{Sign: newKey(t), Evidence: evidence.Kinds, Registries: []string{one.host}}
	list, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := evidenceFiles(t, dir)
	p.Registries = []string{many.host}
	digests := t.TempDir()
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		if _, err := plan(t, dir, p, Overrides{Platforms: []string{platform}}).Push(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(digests, strings.ReplaceAll(platform, "/", "-")), os.DirFS(filepath.Join(dir, "dist", "digests"))); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "dist", "digests")); err != nil {
			t.Fatal(err)
		}
	}
	merged, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), digests)
	if err != nil {
		t.Fatal(err)
	}
	if merged[0].Digest != list[0].Digest {
		t.Fatalf("another index: %s, %s", merged[0].Digest, list[0].Digest)
	}
	for at, data := range files {
		if got := evidenceFiles(t, dir)[at]; got != data {
			t.Errorf("%s differs:\n%.2000s\n%.2000s", at, got, data)
		}
	}
	for _, h := range []v1.Hash{list[0].Digest, list[0].Platforms[0].Digest, list[0].Platforms[1].Digest} {
		a, b := referrers(t, one, h), referrers(t, many, h)
		if len(a) != 7 || !slices.Equal(a, b) {
			t.Errorf("%s: one machine attaches %q, several %q", h, a, b)
		}
	}
	p.Evidence = []string{}
	if _, err := plan(t, dir, p, Overrides{}).Merge(t.Context(), digests); err != nil {
		t.Errorf("merged without evidence: %v", err)
	}
}

func referrers(t *testing.T, w *askedRegistry, h v1.Hash) []string {
	t.Helper()
	idx, err := remote.Referrers(w.digest(t, "server", h))
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, d := range m.Manifests {
		list = append(list, d.Digest.String())
	}
	slices.Sort(list)
	return list
}

func evidenceFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, at := range glob(t, filepath.Join(dir, "dist", "evidence", "server", "*")) {
		files[filepath.Base(at)] = read(t, at)
	}
	if len(files) == 0 {
		t.Fatal("no evidence was written")
	}
	return files
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(escape(filepath.Dir(pattern)) + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSignMistakes(t *testing.T) {
	dir := project(t, oneMain())
	t.Setenv("PATH", os.Getenv("PATH"))
	t.Setenv("EMPTY", "")
	write(t, filepath.Join(dir, "text"), "no key")
	for _, tt := range []struct{ sign, want string }{
		{"absent.pem", "name the file of a private key"},
		{"text", "no key in PEM"},
		{"env://EMPTY", "the variable is empty"},
	} {
		p := Project{Version: "1.0", Sign: tt.sign, Registries: []string{testenv.MemoryRegistry(t)}}
		_, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
		if err == nil || !strings.Contains(err.Error(), "Sign: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.sign, err, tt.want)
		}
	}
	_, err := Project{Evidence: []string{"sbom", "provenence"}, Dir: dir}.Plan(t.Context(), Overrides{})
	if err == nil || !strings.Contains(err.Error(), `Evidence[1]: "provenence" is not a kind of evidence: want sbom, cyclonedx, provenance; did you mean provenance?`) {
		t.Errorf("%v", err)
	}
}

// A builder is named by what the CI system tells of its workflow, without the
// branch, and else not at all.
func TestBuiltBy(t *testing.T) {
	const unknown = "https://github.com/multimage/multimage/blob/main/README.md#some-machine"
	for _, tt := range []struct {
		environment map[string]string
		want        string
	}{
		{map[string]string{}, unknown},
		{map[string]string{"GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/x.yml@refs/heads/main"}, unknown},
		{map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/x.yml@refs/heads/main"},
			"https://github.com/acme/app/.github/workflows/x.yml"},
		{map[string]string{"GITLAB_CI": "true", "CI_CONFIG_REF_URI": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main"}, "https://gitlab.com/acme/app//.gitlab-ci.yml"},
	} {
		if got := builtBy(func(name string) string { return tt.environment[name] }); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.environment, got, tt.want)
		}
	}
}
