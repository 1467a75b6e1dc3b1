package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// killRegistry is a registry in this process that looks on: it tells of each
// request, and says so if a tag is written that points to less than all of an
// index.
type killRegistry struct {
	host string

	mu       sync.Mutex
	idle     sync.Cond
	answers  http.Handler
	active   int                       // requests being answered
	tell     func(*http.Request, bool) // before a request is answered, and after; may be nil
	problems []string
}

func newKillRegistry(t *testing.T) *killRegistry {
	t.Helper()
	r := &killRegistry{}
	r.idle.L = &r.mu
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	r.empty(t)
	return r
}

// empty makes it a new registry, which has but the base.
func (r *killRegistry) empty(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	r.answers = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.mu.Unlock()
	testenv.Push(t, r.host+"/base:1", testenv.Tiny().Index(t))
}

func (r *killRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.active++
	answers, tell := r.answers, r.tell
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.active--
		r.idle.Broadcast()
	}()
	if tell == nil {
		tell = func(*http.Request, bool) {}
	}
	tell(req, false)
	if tag := tagPath.FindStringSubmatch(req.URL.Path); tag != nil && req.Method == http.MethodPut {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // cut off by the kill
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.check(req.URL.Path, tag[1], body)
	}
	answer := httptest.NewRecorder()
	answers.ServeHTTP(answer, req)
	tell(req, true)
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// tagPath is where a tag is; a digest has a colon.
var tagPath = regexp.MustCompile(`^/v2/(.*)/manifests/[^:]+$`)

// watched sets who is told of requests, once none is being answered.
func (r *killRegistry) watched(tell func(*http.Request, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.active > 0 {
		r.idle.Wait()
	}
	r.tell = tell
}

// ask asks the registry behind all this.
func (r *killRegistry) ask(method, path string) (status int, body []byte) {
	r.mu.Lock()
	answers := r.answers
	r.mu.Unlock()
	w := httptest.NewRecorder()
	answers.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.Bytes()
}

// check notes what a tag's index lacks.
func (r *killRegistry) check(tag, repo string, index []byte) {
	for _, problem := range r.missing(repo, index) {
		r.mu.Lock()
		r.problems = append(r.problems, tag+": "+problem)
		r.mu.Unlock()
	}
}

// missing lists what an index refers to and the repository doesn't have.
func (r *killRegistry) missing(repo string, index []byte) []string {
	m, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil || len(m.Manifests) == 0 {
		return []string{fmt.Sprintf("points to no index: %.100q", index)}
	}
	var problems []string
	for _, child := range m.Manifests {
		status, data := r.ask(http.MethodGet, "/v2/"+repo+"/manifests/"+child.Digest.String())
		if status != http.StatusOK {
			problems = append(problems, fmt.Sprintf("child %s: status %d", child.Digest, status))
			continue
		}
		image, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			problems = append(problems, fmt.Sprintf("child %s: %v", child.Digest, err))
			continue
		}
		for _, blob := range append(image.Layers, image.Config) {
			if status, _ := r.ask(http.MethodHead, "/v2/"+repo+"/blobs/"+blob.Digest.String()); status != http.StatusOK {
				problems = append(problems, fmt.Sprintf("child %s: blob %s: status %d", child.Digest, blob.Digest, status))
			}
		}
	}
	return problems
}

// tags returns the digest of each tag, by REPOSITORY:TAG, and notes what is
// missing of any.
func (r *killRegistry) tags(t *testing.T) map[string]v1.Hash {
	t.Helper()
	var catalog struct{ Repositories []string }
	r.askJSON(t, "/v2/_catalog", &catalog)
	found := map[string]v1.Hash{}
	for _, repo := range catalog.Repositories {
		var list struct{ Tags []string }
		r.askJSON(t, "/v2/"+repo+"/tags/list", &list)
		for _, tag := range list.Tags {
			path := "/v2/" + repo + "/manifests/" + tag
			_, index := r.ask(http.MethodGet, path)
			r.check(path, repo, index)
			found[repo+":"+tag], _, _ = v1.SHA256(bytes.NewReader(index))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, problem := range r.problems {
		t.Errorf("registry: %s", problem)
	}
	r.problems = nil
	return found
}

func (r *killRegistry) askJSON(t *testing.T, path string, v any) {
	t.Helper()
	status, data := r.ask(http.MethodGet, path)
	if status != http.StatusOK {
		t.Fatalf("registry: GET %s: status %d: %s", path, status, data)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}
