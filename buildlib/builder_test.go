package buildlib

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// A plan is data: written as JSON and read again, it gives the same images.
func TestPlanTravelsAsJSON(t *testing.T) {
	f := oneMain()
	f["motd"] = "hello"
	dir := project(t, f)
	commit(t, dir, "v1.2.3")
	p := plan(t, dir, Project{
		Labels: map[string]string{"com.example.team": "core"},
		Images: []Image{{
			Name: "server", User: User{Name: "app", UID: 1000}, Entrypoint: []string{}, Cmd: []string{"/usr/local/bin/server"},
			Env: []string{"A=b"}, Ports: []string{"80"}, Files: []File{{Source: "motd", Path: "/etc/motd"}, {Source: "later", Path: "/later"}},
		}},
	}, Overrides{Images: []string{"server"}})
	data, err := json.Marshal(p.Plan)
	if err != nil {
		t.Fatal(err)
	}
	var read Plan
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	read.Epoch = read.Epoch.In(p.Epoch.Location()) // equal, but for a pointer
	if !reflect.DeepEqual(&read, p.Plan) {
		t.Errorf("read  %+v\nwrote %+v", &read, p.Plan)
	}
	write(t, filepath.Join(dir, "later"), "made by a step of the project")
	want := images(t, p)
	read.Output = filepath.Join(t.TempDir(), "dist")
	again := open(t, &read, Options{Cache: t.TempDir()})
	if got := images(t, again); got[0].Digest != want[0].Digest {
		t.Errorf("digest %s, want %s", got[0].Digest, want[0].Digest)
	}
	if got, want := matrix(t, again), matrix(t, p); !reflect.DeepEqual(got, want) {
		t.Errorf("matrix %v, want %v", got, want)
	}
}

// No field of a Plan is hidden from JSON.
func TestPlanIsData(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(at reflect.Type) {
		switch at.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(at.Elem())
		case reflect.Struct:
			if seen[at] || at.PkgPath() != reflect.TypeFor[Plan]().PkgPath() {
				return
			}
			seen[at] = true
			for i := range at.NumField() {
				f := at.Field(i)
				if !f.IsExported() || f.Tag.Get("json") == "-" {
					t.Errorf("%s.%s is not in the JSON of a plan", at, f.Name)
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Plan]())
}

func TestOpenRefuses(t *testing.T) {
	dir := project(t, oneMain())
	wd := t.TempDir()
	t.Chdir(wd)
	for _, tt := range []struct {
		change func(*Plan)
		want   string
	}{
		{func(p *Plan) { *p = Plan{} }, "plan: Dir: "},
		{func(p *Plan) { p.Output = "dist" }, `plan: Output: "dist" is not an absolute path`},
		{func(p *Plan) { p.Compiles[0].Folder = "" }, "plan: Compiles[0].Folder: "},
		{func(p *Plan) { p.Compiles[0].Folder = "../../x" }, "plan: Compiles[0].Folder: "},
		{func(p *Plan) { p.Compiles[1].Mains[0].Output = "/bin/server" }, "plan: Compiles[1].Mains[0].Output: "},
		{func(p *Plan) { p.Compiles = p.Compiles[:1] }, `plan: ImagePlans[0].Platforms[1].Binaries[0].Binary: no element of Compiles makes "server" for linux/arm64`},
		{func(p *Plan) { p.ImagePlans[0].Platforms[0].Base = "" }, "plan: ImagePlans[0].Platforms[0].Base: "},
	} {
		p := plan(t, dir, Project{}, Overrides{}).Plan
		tt.change(p)
		if _, err := Open(t.Context(), p, Options{}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	if left, err := os.ReadDir(wd); err != nil || len(left) > 0 {
		t.Errorf("the working folder holds %v, %v", left, err)
	}
}

func TestClose(t *testing.T) {
	dir := project(t, oneMain())
	p := plan(t, dir, Project{}, Overrides{})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Images(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("error %v, want that it is closed", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a closed builder made dist: %v", err)
	}
}

// roundTripper counts the requests that it sends.
type roundTripper struct{ sent atomic.Int64 }

func (r *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	r.sent.Add(1)
	return http.DefaultTransport.RoundTrip(req)
}

// keychain counts the logins that it was asked for.
type keychain struct{ asked atomic.Int64 }

func (k *keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	k.asked.Add(1)
	return authn.Anonymous, nil
}

// A registry with a login or a connection of its own can be used.
func TestKeychainAndTransport(t *testing.T) {
	dir := project(t, oneMain())
	registry := testenv.MemoryRegistry(t)
	p := plan(t, dir, Project{Version: "1.0", Registries: []string{registry}, Platforms: []string{"linux/amd64"}}, Overrides{})
	var keys keychain
	var transport roundTripper
	b := open(t, p.Plan, Options{Cache: cache, Keychain: &keys, Transport: &transport})
	if _, err := b.Manifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys.asked.Load() == 0 || transport.sent.Load() == 0 {
		t.Errorf("%d logins, %d requests, want some", keys.asked.Load(), transport.sent.Load())
	}
}
