package buildlib

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Each class of difference, made for real: what was published is of the project as
// publish changes it, and what verifies is the project as it is.
func TestVerify(t *testing.T) {
	testenv.Slow(t)
	// Each case would compile the runtime.
	was, common := emptyCache, t.TempDir()
	emptyCache = func(string) string { return common }
	t.Cleanup(func() { emptyCache = was })
	f := oneMain()
	f["etc/app.conf"], f[".gitignore"] = "x=1\n", "dist\n"
	dir := project(t, f)
	commit(t, dir, "v1.0.0")
	host := testenv.MemoryRegistry(t)
	testenv.Push(t, host+"/base:1", testenv.Tiny().Index(t))
	whole := func() Project {
		return Project{
			Registries: []string{host}, Platforms: []string{"linux/amd64", "linux/arm64"},
			Images: []Image{{Name: "server", Base: host + "/base:1", Files: []File{{Source: "etc/app.conf", Path: "/etc/app.conf"}}}},
		}
	}
	key := newKey(t)
	for _, tt := range []struct {
		name    string
		publish func(*testing.T, *Project, *Plan)
		verify  func(*Project)
		status  int
		want    string
	}{
		{name: "the same", want: ""},
		{name: "signed", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Sign = key }, verify: func(p *Project) { p.Sign = key }, want: ""},
		{name: "by another key", publish: func(t *testing.T, p *Project, _ *Plan) { p.Sign = newKey(t) }, verify: func(p *Project) { p.Sign = key }, status: 1, want: "what is attached: index > referrer sha256:"},
		{name: "not signed", verify: func(p *Project) { p.Sign = key }, status: 1, want: "what is attached: index > it has no signature by the key"},
		{name: "another Go", publish: func(_ *testing.T, _ *Project, p *Plan) {
			if p != nil {
				p.Go.Version = "go1.20"
			}
		}, status: 3, want: "environment: index > provenance > Go "},
		{name: "configuration", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Images[0].Env = []string{"A=b"} }, status: 1, want: `configuration: index > linux/amd64 > config > config.Env`},
		{name: "a binary", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Go.Ldflags = "-X main.version=other" }, status: 1,
			want: "file content: index > linux/amd64 > layer 3 (binary /usr/local/bin/server) > /usr/local/bin/server > ."},
		{name: "an extra file", publish: func(_ *testing.T, p *Project, _ *Plan) {
			p.Images[0].Files = append(p.Images[0].Files, File{Path: "/var/x"})
		}, status: 1, want: "file content: index > linux/amd64 > layer 2 (files) > /var"},
		{name: "a mode", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Images[0].Files[0].Mode = 0o600 }, status: 1,
			want: "tar metadata: index > linux/amd64 > layer 2 (files) > /etc/app.conf > mode 0644 here, 0600 there"},
		{name: "a platform", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Platforms = append(p.Platforms, "linux/arm/v7") }, status: 1, want: "platforms: index > linux/arm/v7 only there"},
		{name: "version", publish: func(_ *testing.T, p *Project, _ *Plan) { p.Version = "v1.0.0-dirty" }, status: 3, want: "environment: index > version v1.0.0-dirty was made of uncommitted changes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := whole()
			p.Images[0].Repository = strings.ToLower(strings.ReplaceAll(tt.name, " ", "-"))
			was := p
			was.Images = []Image{p.Images[0]}
			was.Images[0].Files = append([]File{}, p.Images[0].Files...)
			if tt.publish != nil {
				tt.publish(t, &was, nil)
			}
			b := plan(t, dir, was, Overrides{})
			if tt.publish != nil && tt.name == "another Go" {
				tt.publish(t, &was, b.Plan)
			}
			if _, err := b.Manifest(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.verify != nil {
				tt.verify(&p)
			}
			check(t, dir, p, b.Plan.ImagePlans[0].Repositories[0]+":"+b.Plan.ImagePlans[0].Tags[0], tt.status, tt.want)
		})
	}
	t.Run("compression", func(t *testing.T) {
		p := whole()
		p.Images[0].Repository = "compression"
		if _, err := plan(t, dir, p, Overrides{}).Manifest(t.Context()); err != nil {
			t.Fatal(err)
		}
		recompress(t, host+"/compression:v1.0.0")
		check(t, dir, p, host+"/compression:v1.0.0", 1, "compression: index > linux/amd64 > layer 3 (binary /usr/local/bin/server) > ")
	})
	t.Run("commit gone", func(t *testing.T) {
		other := project(t, f)
		write(t, filepath.Join(other, "only-there"), "x")
		commit(t, other, "v1.0.0")
		p := whole()
		p.Images[0].Repository = "commit-gone"
		if _, err := plan(t, other, p, Overrides{}).Manifest(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, dir, p, host+"/commit-gone:v1.0.0", 3, "environment: index > commit ")
	})
	t.Run("a base for each platform", func(t *testing.T) {
		p := whole()
		p.Images[0].Repository, p.Images[0].Base = "base-each", host+"/base:{{.Arch}}"
		testenv.Push(t, host+"/base:amd64", testenv.Tiny().Index(t))
		testenv.Push(t, host+"/base:arm64", testenv.Alpine(t).Index(t))
		if _, err := plan(t, dir, p, Overrides{}).Manifest(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Moved: the old ones count.
		testenv.Push(t, host+"/base:amd64", testenv.Alpine(t).Index(t))
		testenv.Push(t, host+"/base:arm64", testenv.Tiny().Index(t))
		check(t, dir, p, host+"/base-each:v1.0.0", 0, "")
	})
	t.Run("base gone", func(t *testing.T) {
		p := whole()
		p.Images[0].Repository = "base-gone"
		testenv.Push(t, host+"/base:1", testenv.Alpine(t).Index(t)) // moved: the old one counts
		if _, err := plan(t, dir, p, Overrides{}).Manifest(t.Context()); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(host+"/base:1", name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Head(ref)
		if err != nil {
			t.Fatal(err)
		}
		testenv.Push(t, host+"/base:1", testenv.Tiny().Index(t))
		check(t, dir, p, host+"/base-gone:v1.0.0", 0, "")
		if err := remote.Delete(ref.Context().Digest(d.Digest.String())); err != nil {
			t.Fatal(err)
		}
		check(t, dir, p, host+"/base-gone:v1.0.0", 3, "environment: index > it can't be built here: ")
	})
}

// Images may share a repository: then the title tells which one an index is of.
func TestImageOf(t *testing.T) {
	p := plan(t, project(t, oneMain()), Project{Registries: []string{"ghcr.io/acme"}, Images: []Image{
		{Name: "server"},
		{Name: "server-alpine", Repository: "server", Binaries: []string{"server"}, Tags: []string{"alpine"}},
		{Name: "titled", Repository: "server", Binaries: []string{"server"}, Tags: []string{"titled"}, Labels: map[string]string{ociKeys + "title": "Acme"}},
		{Name: "other", Binaries: []string{"server"}},
	}}, Overrides{})
	for _, tt := range []struct{ repository, title, want string }{
		{"ghcr.io/acme/server", "server", "server"},
		{"ghcr.io/acme/server", "server-alpine", "server-alpine"},
		{"ghcr.io/acme/server", "Acme", "titled"},
		{"ghcr.io/acme/server", "", "server"},
		{"ghcr.io/acme/other", "server", "other"},
		{"docker.io/copy/server", "server-alpine", "server-alpine"},
		{"docker.io/copy/server", "gone", ""},
		{"docker.io/copy/server", "", ""},
	} {
		if got := p.imageOf(tt.repository, tt.title); got != tt.want {
			t.Errorf("%s, titled %q, is of image %q, want %q", tt.repository, tt.title, got, tt.want)
		}
	}
}

func check(t *testing.T, dir string, p Project, ref string, status int, want string) {
	t.Helper()
	p.Dir = dir
	v, err := p.Verify(t.Context(), ref, Overrides{Cache: cache}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if v.Difference != nil {
		got = v.Difference.Class + ": " + v.Difference.String()
	}
	if v.Status() != status || !strings.HasPrefix(got, want) || (want == "") != (got == "") {
		t.Errorf("status %d: %s, want %d: %s", v.Status(), got, status, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist", "evidence", "server", "verify.json")); err != nil {
		t.Error(err)
	}
}

// recompress publishes an index again whose images have their last layer with
// another compression.
func recompress(t *testing.T, ref string) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	again := mutate.Annotations(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), m.Annotations).(v1.ImageIndex)
	for _, d := range m.Manifests {
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		again = mutate.AppendManifests(again, mutate.IndexAddendum{Add: compressed(t, img), Descriptor: v1.Descriptor{Platform: d.Platform}})
	}
	if err := remote.WriteIndex(r, again); err != nil {
		t.Fatal(err)
	}
}

// compressed makes an image anew, with a last layer of the slowest compression.
func compressed(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	last := layers[len(layers)-1]
	layer, err := tarball.LayerFromOpener(last.Uncompressed, tarball.WithCompressionLevel(9), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if made, err = mutate.AppendLayers(made, append(layers[:len(layers)-1:len(layers)-1], layer)...); err != nil {
		t.Fatal(err)
	}
	if made, err = mutate.ConfigFile(made, config); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(made, m.Annotations).(v1.Image)
}
