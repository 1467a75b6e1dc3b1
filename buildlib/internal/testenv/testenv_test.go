package testenv_test

import (
	"archive/tar"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestBasesAreValid(t *testing.T) {
	// The validator takes attestations for broken images.
	plain := testenv.Tiny()
	plain.Attested = false
	merged, docker := plain, plain
	merged.Merged = true
	docker.Docker = true
	docker.Entries = []testenv.Entry{testenv.File("etc/motd", 0o644, "hello\n")}
	host := testenv.MemoryRegistry(t)
	for label, base := range map[string]testenv.Base{"plain": plain, "merged": merged, "docker": docker} {
		index := base.Index(t)
		ref := host + "/bases/" + label + ":latest"
		testenv.Push(t, ref, index)
		if err := validate.Index(testenv.Pull(t, ref)); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		testenv.Layout(t, index)
	}
}

func TestRegistry(t *testing.T) {
	base := testenv.Tiny()
	base.Attested = false
	index := base.Index(t)
	open := testenv.Registry(t, testenv.RegistryOptions{})
	testenv.Push(t, open.Host+"/base:1", index)

	t.Run("read-only", func(t *testing.T) {
		// The same storage, served a second time.
		r := testenv.Registry(t, testenv.RegistryOptions{ReadOnly: true, Storage: open.Storage})
		if err := validate.Index(testenv.Pull(t, r.Host+"/base:1")); err != nil {
			t.Error(err)
		}
		ref, err := name.ParseReference(r.Host + "/base:2")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(ref, index); err == nil {
			t.Error("a read-only registry took a push")
		}
	})
	t.Run("login", func(t *testing.T) {
		r := testenv.Registry(t, testenv.RegistryOptions{Login: true})
		resp, err := http.Get("http://" + r.Host + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a login: %s", resp.Status)
		}
		t.Setenv("DOCKER_CONFIG", testenv.DockerConfig(t, r.Host))
		ref, err := name.ParseReference(r.Host + "/base:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(ref, index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			t.Error(err)
		}
	})
}

func TestAlpineRuns(t *testing.T) {
	env := testenv.Docker(t)
	testenv.Binfmt(t)
	base := testenv.Alpine(t) // last: it may have to fetch what it is made of
	for _, platform := range base.Platforms {
		want := map[string]string{"linux/amd64": "x86_64", "linux/arm64/v8": "aarch64", "linux/arm/v7": "armv7l"}[platform]
		for _, merged := range []bool{false, true} {
			if merged && platform != "linux/amd64" {
				continue // foreign programs start slowly
			}
			base.Merged = merged
			load(t, env, base.Image(t, platform))
			cmd := exec.Command("docker", "run", "--rm", "--network=none", "--user=405:100", "testenv:base", "sh", "-c", "uname -m; id -un; cat /etc/alpine-release")
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", platform, err, out)
			}
			if !strings.HasSuffix(string(out), want+"\nguest\n3.24.0\n") {
				t.Errorf("%s: want %s, guest, 3.24.0; got %s", platform, want, out)
			}
		}
	}
}

// load puts the image into the engine as testenv:base.
func load(t *testing.T, env []string, image v1.Image) {
	t.Helper()
	tag, err := name.NewTag("testenv:base")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker", "load")
	cmd.Env = append(os.Environ(), env...)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := tarball.Write(tag, image, pipe); err != nil {
		t.Fatal(err)
	}
	_ = pipe.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("docker load: %v\n%s", err, out.String())
	}
}

func TestHostileLayers(t *testing.T) {
	const size = 10 << 30
	bomb := testenv.Bomb(t, "etc/passwd", size)
	if n, _ := bomb.Size(); n > 64<<20 {
		t.Errorf("the bomb itself takes %d bytes", n)
	}
	r, err := bomb.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	h, err := tar.NewReader(r).Next()
	if err != nil || h.Name != "etc/passwd" || h.Size != size {
		t.Errorf("bomb's entry: %+v, %v", h, err)
	}
	half := testenv.Truncated(t, testenv.Layer(t, testenv.File("../../etc/passwd", 0o644, "x")))
	r, err = half.Uncompressed()
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err == nil {
		t.Error("a truncated layer reads to its end")
	}
}
