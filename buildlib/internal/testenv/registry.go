package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The account that a Registry with Login knows.
const (
	Username = "builder"
	Password = "open-sesame"
)

// htpasswd holds that account, hashed with bcrypt, the one scheme that
// docker-registry reads.
const htpasswd = Username + ":$2y$05$vOoBqaed9uhvfAXTyl0Z5O8xJ6vk3R7tjyhmOoMA9YxL1DJg.E4bC\n"

// RegistryOptions say how a Registry differs from an open, writable one.
type RegistryOptions struct {
	Login    bool   // only Username with Password may read and write
	Tokens   bool   // as Login, but by tokens that a token server gives
	ReadOnly bool   // reads only: writes are answered with 405
	URLs     bool   // takes manifests with layers that are elsewhere
	Storage  string // the storage folder of an earlier one; default: a new one
}

// RegistryServer is a registry that runs until the test ends.
type RegistryServer struct {
	Host    string  // host:port on loopback; it speaks plain HTTP
	Storage string  // its storage folder: docker/registry/v2/{blobs,repositories}
	Tokens  *Tokens // nil without
}

// Registry starts Debian's docker-registry on a free port of loopback.
func Registry(t testing.TB, o RegistryOptions) *RegistryServer {
	t.Helper()
	Require(t, "registry")
	if o.Storage == "" {
		o.Storage = filepath.Join(t.TempDir(), "storage")
	}
	var tokens *Tokens
	if o.Tokens {
		tokens = newTokens(t)
	}
	// Another process may take the free port before the registry does.
	var err error
	for range 3 {
		var r *RegistryServer
		if r, err = serve(t, o, tokens); err == nil {
			return r
		}
	}
	t.Fatalf("docker-registry: %v", err)
	return nil
}

func serve(t testing.TB, o RegistryOptions, tokens *Tokens) (*RegistryServer, error) {
	host, err := freePort()
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, []byte(o.config(host, dir, tokens)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(htpasswd), 0o600); err != nil {
		return nil, err
	}
	if tokens != nil {
		if err := os.WriteFile(filepath.Join(dir, "bundle.pem"), tokens.bundle(), 0o600); err != nil {
			return nil, err
		}
	}
	c, err := start(exec.Command("docker-registry", "serve", config))
	if err != nil {
		return nil, err
	}
	if err := c.await(20*time.Second, func() error { return answers(host) }); err != nil {
		c.stop(time.Second)
		return nil, err
	}
	t.Cleanup(func() { c.stop(5 * time.Second) })
	return &RegistryServer{Host: host, Storage: o.Storage, Tokens: tokens}, nil
}

// config is the registry's config.yml.
func (o RegistryOptions) config(host, dir string, tokens *Tokens) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 0.1\n")
	fmt.Fprintf(&b, "log: {level: error, accesslog: {disabled: true}}\n")
	fmt.Fprintf(&b, "http: {addr: %q, relativeurls: true}\n", host)
	fmt.Fprintf(&b, "storage:\n")
	fmt.Fprintf(&b, "  filesystem: {rootdirectory: %q}\n", o.Storage)
	fmt.Fprintf(&b, "  delete: {enabled: true}\n")
	fmt.Fprintf(&b, "  maintenance:\n")
	fmt.Fprintf(&b, "    uploadpurging: {enabled: false}\n")
	if o.ReadOnly {
		fmt.Fprintf(&b, "    readonly: {enabled: true}\n")
	}
	if o.URLs {
		fmt.Fprintf(&b, "validation: {manifests: {urls: {allow: [%q]}}}\n", "^https://owner[.]example/")
	}
	if o.Login {
		fmt.Fprintf(&b, "auth: {htpasswd: {realm: tests, path: %q}}\n", filepath.Join(dir, "htpasswd"))
	}
	if tokens != nil {
		fmt.Fprintf(&b, "auth: {token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %q}}\n",
			tokens.Realm, tokenService, tokenIssuer, filepath.Join(dir, "bundle.pem"))
	}
	return b.String()
}

// answers reports nil once the host speaks the registry protocol; 401 is an
// answer too.
func answers(host string) error {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://" + host + "/v2/")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.Header.Get("Docker-Distribution-Api-Version") == "" {
		return fmt.Errorf("%s answers %s, but isn't a registry", host, resp.Status)
	}
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// DockerConfig writes a Docker config.json that has Username's login for the
// hosts and returns its folder, the value for DOCKER_CONFIG.
func DockerConfig(t testing.TB, hosts ...string) string {
	t.Helper()
	dir := t.TempDir()
	login := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(Username + ":" + Password))}
	auths := map[string]any{}
	for _, host := range hosts {
		auths[host] = login
	}
	config, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
