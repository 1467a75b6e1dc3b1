package registry

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// distribution runs the reference registry and returns its host.
func distribution(t *testing.T, auth string) string {
	t.Helper()
	testenv.Require(t, "registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n%s", filepath.Join(dir, "data"), host, auth)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return host
}

func TestDistribution(t *testing.T) {
	host := distribution(t, "")
	c := client(t, Options{Stall: 5 * time.Second}) // waits for the registry to start
	repo, idx := repository(t, c, host+"/acme/app"), testenv.TwoPlatforms(t)
	out, err := c.Publish(t.Context(), repo, idx, []string{"v1", "latest"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Uploaded != 5 || out.Children != 2 {
		t.Errorf("%+v", out)
	}
	pullBack(t, repo, "v1", out.Digest, c.Remote()...)
	sibling := repository(t, c, host+"/acme/sibling")
	out, err = c.Publish(t.Context(), sibling, idx, []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Mounted != 5 || out.Uploaded != 0 {
		t.Errorf("the second repository: %+v, want all blobs mounted", out)
	}
	pullBack(t, sibling, "v1", out.Digest)
	out, err = c.Publish(t.Context(), repo, idx, []string{"v1"}, Hooks{})
	if err != nil || out.Tags[0].Pushed {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestDistributionLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	const account = "me:$2y$04$gU28hBODSuTpR.e0lmSlSeD6YzNDOmH/otWtuEA2Wbou2VglRVh2S\n" // HUSH, as bcrypt has it
	if err := os.WriteFile(file, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	host := distribution(t, fmt.Sprintf("auth: {htpasswd: {realm: r, path: %s}}\n", file))

	c := client(t, Options{Stall: 5 * time.Second})
	_, err := c.Publish(t.Context(), repository(t, c, host+"/acme/app"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err == nil || !strings.Contains(err.Error(), "no valid login for "+host+": run `docker login "+host+"`") {
		t.Errorf("anonymous: %v", err)
	}
	c = client(t, Options{Keychain: keychain{authn.AuthConfig{Username: "me", Password: "WRONG"}}})
	_, err = c.Publish(t.Context(), repository(t, c, host+"/acme/app"), testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err == nil || strings.Contains(err.Error(), "WRONG") {
		t.Errorf("wrong password: %v", err)
	}
	// As `docker login` leaves it.
	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("me:HUSH")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	c = client(t, Options{Keychain: authn.DefaultKeychain})
	repo := repository(t, c, host+"/acme/app")
	out, err := c.Publish(t.Context(), repo, testenv.TwoPlatforms(t), []string{"v1"}, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(repo.Tag("v1"), c.Remote()...)
	if err != nil {
		t.Fatal(err)
	}
	if h := testenv.Digest(t, got); h != out.Digest {
		t.Errorf("got %s, want %s", h, out.Digest)
	}
	if err := validate.Index(got); err != nil {
		t.Error(err)
	}
}
