package e2e

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// The users that examples/services configures.
var serviceUsers = map[string]string{"apiserver": "1000", "router": "1001", "agent": "1002"}

// allPlatforms are those of examples/services, in its order.
var allPlatforms = []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}

// servicePlatforms are those that TestServices publishes a service for: all, but
// apiserver, which has client-go, for those in TEST_PLATFORMS, because client-go
// takes minutes to compile for each.
func servicePlatforms(service string) []string {
	if some := os.Getenv("TEST_PLATFORMS"); some != "" && service == "apiserver" {
		return strings.Split(some, ",")
	}
	return allPlatforms
}

// limitApiserver has the example's magefile say servicePlatforms of apiserver.
func limitApiserver(t *testing.T, e *example) {
	t.Helper()
	platforms := fmt.Sprintf("%#v", servicePlatforms("apiserver"))
	file := filepath.Join(e.dir, "magefiles", "magefile.go")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for before, after := range map[string]string{
		"buildlib.Project{\n":              `Binaries: []buildlib.Binary{{Name: "apiserver", Platforms: ` + platforms + `}, {Name: "router"}, {Name: "agent"}},`,
		"Name: \"apiserver\", Base: base,": " Platforms: " + platforms + ",",
	} {
		if strings.Count(text, before) != 1 {
			t.Fatalf("%s: want %q once", file, before)
		}
		text = strings.Replace(text, before, before+after, 1)
	}
	writeFile(t, file, text)
	e.commit(t)
	e.run(t, "git", "tag", "--force", "v1.2.3")
}

// TestServices publishes examples/services to two of Debian's registries, an
// open one and one that wants a login, and takes it from there as others would.
func TestServices(t *testing.T) {
	t.Parallel()
	testenv.Slow(t) // compiles k8s.io/client-go for each platform
	base := testenv.Alpine(t)
	open := newFront(t, testenv.Registry(t, testenv.RegistryOptions{}).Host)
	closed := newFront(t, testenv.Registry(t, testenv.RegistryOptions{Login: true}).Host)
	baseRef := open.host + "/library/alpine:3.24"
	testenv.Push(t, baseRef, base.Index(t))

	e := newExample(t, "services", filepath.Join(t.TempDir(), "services"))
	e.env = append(e.env, "SERVICES_BASE="+baseRef, "DOCKER_CONFIG="+testenv.DockerConfig(t, closed.host),
		"MULTIMAGE_REGISTRIES="+open.host+"/acme,"+closed.host+"/acme")
	limitApiserver(t, e)
	printed := e.mage(t, "manifest")
	images := e.images(t)
	open.asked()
	closed.asked()

	t.Run("results", func(t *testing.T) { checkResults(t, images, printed, open, closed) })
	for _, image := range images {
		for _, ref := range image.Refs {
			t.Run("registry/"+image.Name+"/"+strings.Split(ref.Repository, "/")[0], func(t *testing.T) {
				checkPublished(t, image, ref)
			})
		}
	}
	t.Run("deploy", func(t *testing.T) { checkDeploy(t, e, images) })
	t.Run("skopeo", func(t *testing.T) {
		testenv.Require(t, "skopeo")
		for i, image := range images {
			checkSkopeo(t, image.Refs[i%2], image.Tags[0])
		}
	})
	t.Run("load", func(t *testing.T) { checkLoad(t, e, images, open) })
	t.Run("platforms", func(t *testing.T) {
		engine := docker(t, open.host)
		testenv.Binfmt(t)
		for _, image := range images {
			for _, platform := range servicePlatforms(image.Name) {
				ref := open.host + "/acme/" + image.Name + ":latest"
				engine.pull(t, platform, ref)
				checkService(t, engine, platform, ref, image.Name)
			}
		}
	})
	t.Run("again", func(t *testing.T) {
		open.asked()
		closed.asked()
		before := e.binaries(t)
		if again := e.mage(t, "manifest"); !slices.Equal(again, printed) {
			t.Errorf("the second run printed\n%s\nthe first\n%s", strings.Join(again, "\n"), strings.Join(printed, "\n"))
		}
		after := e.binaries(t)
		if len(before) != len(servicePlatforms("apiserver"))+2*len(allPlatforms) || !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
			t.Errorf("dist/bin has %v, had %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
		}
		for file, info := range after {
			if !os.SameFile(before[file], info) {
				t.Errorf("%s was made again", file)
			}
		}
		for _, f := range []*front{open, closed} {
			asked := f.asked()
			if len(asked) == 0 {
				t.Errorf("%s wasn't asked anything", f.host)
			}
			for _, request := range asked {
				// Evidence is looked for by the referrers API, and by the tag in its place.
				evidence := strings.Contains(request, "/referrers/") || strings.Contains(request, "/manifests/sha256-")
				if !strings.HasPrefix(request, "HEAD ") && request != "GET /v2/" && !evidence {
					t.Errorf("%s was asked %s", f.host, request)
				}
			}
		}
	})
}

// checkResults compares what mage printed with images.json.
func checkResults(t *testing.T, images []buildlib.ImageResult, printed []string, open, closed *front) {
	var want []string
	for i, image := range images {
		if names := []string{"apiserver", "router", "agent"}; image.Name != names[i] {
			t.Errorf("image %d is %s, want %s", i, image.Name, names[i])
		}
		if image.Version != "v1.2.3" || len(image.Revision) != 40 || !slices.Equal(image.Tags, []string{"v1.2.3", "latest"}) {
			t.Errorf("%s: version %s, revision %s, tags %q", image.Name, image.Version, image.Revision, image.Tags)
		}
		var platforms []string
		for _, p := range image.Platforms {
			platforms = append(platforms, p.Platform.String())
		}
		if !slices.Equal(platforms, servicePlatforms(image.Name)) {
			t.Errorf("%s: platforms %q", image.Name, platforms)
		}
		for _, f := range []*front{open, closed} {
			want = append(want, f.host+"/acme/"+image.Name+"@"+image.Digest.String())
		}
	}
	if len(images) != 3 || !slices.Equal(printed, want) {
		t.Errorf("%d images; printed\n%s\nwant\n%s", len(images), strings.Join(printed, "\n"), strings.Join(want, "\n"))
	}
}

// withLogin is for both registries: the open one doesn't ask.
var withLogin = remote.WithAuth(&authn.Basic{Username: testenv.Username, Password: testenv.Password})

// checkPublished pulls an image's index back and looks at it closely.
func checkPublished(t *testing.T, image buildlib.ImageResult, ref buildlib.Ref) {
	repo, err := name.NewRepository(ref.Repository)
	if err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(repo, withLogin)
	if err != nil {
		t.Fatal(err)
	}
	// docker-registry lacks the referrers API.
	tags = slices.DeleteFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, "sha256-") })
	if slices.Sort(tags); !slices.Equal(tags, []string{"latest", "v1.2.3"}) {
		t.Errorf("the repository has the tags %q", tags)
	}
	for _, tag := range tags {
		d, err := remote.Get(repo.Tag(tag), withLogin)
		if err != nil {
			t.Fatal(err)
		}
		if d.Digest != image.Digest || d.MediaType != types.OCIImageIndex {
			t.Errorf("tag %s is a %s, %s; want the index %s", tag, d.MediaType, d.Digest, image.Digest)
		}
	}

	index, err := remote.Index(repo.Digest(image.Digest.String()), withLogin)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"title": image.Name, "version": "v1.2.3", "revision": image.Revision, "licenses": "Apache-2.0",
		"created": "2026-01-02T03:04:05Z",
	} {
		if got := manifest.Annotations["org.opencontainers.image."+key]; got != want {
			t.Errorf("index annotation %s is %q, want %q", key, got, want)
		}
	}
	if len(manifest.Manifests) != len(image.Platforms) {
		t.Fatalf("the index has %d children, want %d", len(manifest.Manifests), len(image.Platforms))
	}
	for i, d := range manifest.Manifests {
		want := image.Platforms[i]
		if platformOf(d) != want.Platform.String() || d.Digest != want.Digest || d.MediaType != types.OCIManifestSchema1 || d.ArtifactType != "" {
			t.Errorf("child %d is %+v, want %+v", i, d, want)
		}
		checkChild(t, index, d, image.Name)
	}
}

// checkChild looks at one platform's config.
func checkChild(t *testing.T, index v1.ImageIndex, d v1.Descriptor, name string) {
	child, err := index.Image(d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := child.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	uid := serviceUsers[name]
	if config.OS != d.Platform.OS || config.Architecture != d.Platform.Architecture || config.Variant != d.Platform.Variant {
		t.Errorf("%s: config says %s/%s/%s", platformOf(d), config.OS, config.Architecture, config.Variant)
	}
	if c := config.Config; c.User != uid+":"+uid || !slices.Equal(c.Entrypoint, []string{"/usr/local/bin/" + name}) || len(c.ExposedPorts) != 1 {
		t.Errorf("%s: config is %+v", platformOf(d), c)
	}
}

// checkSkopeo has another implementation read and copy the index.
func checkSkopeo(t *testing.T, ref buildlib.Ref, tag string) {
	t.Helper()
	source := "docker://" + ref.Repository + ":" + tag
	raw := run(t, "", nil, "skopeo", "inspect", "--raw", "--tls-verify=false", "--creds="+testenv.Username+":"+testenv.Password, source)
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(raw))); got != ref.Digest.String() {
		t.Errorf("skopeo inspect --raw %s: %s, want %s", source, got, ref.Digest)
	}
	dir := t.TempDir()
	run(t, "", nil, "skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--src-tls-verify=false",
		"--src-creds="+testenv.Username+":"+testenv.Password, source, "oci:"+dir+":copy")
	copied, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := copied.ImageIndex(ref.Digest)
	if err != nil {
		t.Fatalf("skopeo copied something else than %s: %v", ref, err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
}

// checkLoad loads the images into the Docker engine and runs them.
func checkLoad(t *testing.T, e *example, images []buildlib.ImageResult, open *front) {
	engine := docker(t, open.host)
	platform := "linux/" + runtime.GOARCH // the engine is on this machine
	var want []string
	for _, image := range images {
		for _, tag := range image.Tags {
			want = append(want, open.host+"/acme/"+image.Name+":"+tag)
		}
	}
	loaded := e.mage(t, "load", append(testenv.Docker(t), "MULTIMAGE_REGISTRIES="+open.host+"/acme")...)
	if !slices.Equal(loaded, want) {
		t.Errorf("loaded\n%s\nwant\n%s", strings.Join(loaded, "\n"), strings.Join(want, "\n"))
	}
	for _, image := range images {
		ref := open.host + "/acme/" + image.Name + ":latest"
		checkService(t, engine, platform, ref, image.Name)
		checkHealth(t, engine, ref, image.Name)
	}
}

// checkService runs a service that the engine has: it knows its version and
// platform, and runs as the user that its base's files call by name.
func checkService(t *testing.T, engine container, platform, ref, name string) {
	t.Helper()
	wantText(t, ref+" --version", engine.run(t, "--platform="+platform, ref, "--version"),
		name+" v1.2.3 "+platform+" "+runtime.Version())
	uid := serviceUsers[name]
	wantText(t, ref+": id", engine.sh(t, platform, ref, "id; cat /etc/alpine-release"),
		fmt.Sprintf("uid=%[1]s(%[2]s) gid=%[1]s(%[2]s) groups=%[1]s(%[2]s)\n3.24.0", uid, name))
}

// checkHealth starts a service with the arguments that the image has, and has
// its own binary ask for its health.
func checkHealth(t *testing.T, engine container, ref, name string) {
	t.Helper()
	id := strings.TrimSpace(run(t, "", engine.env, engine.program, "run", "--detach", "--network=none", "--pull=never", ref))
	defer run(t, "", engine.env, engine.program, "rm", "--force", id)
	port := map[string]string{"apiserver": "8080", "router": "8000", "agent": "9100"}[name]
	err := eventually(func() error {
		cmd := exec.Command(engine.program, "exec", id, "/usr/local/bin/"+name, "--health", "--port="+port)
		cmd.Env = engine.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", ref, err)
	}
}
