package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestCredentials publishes to registries that want a login, by each way to log
// in, and looks for the credentials where they don't belong: also when a
// registry shows them in an error, and when it sends requests elsewhere.
func TestCredentials(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte(testenv.Username + ":" + testenv.Password))
	for _, test := range []struct {
		name    string
		options testenv.RegistryOptions
		login   map[string]string
	}{
		{"password", testenv.RegistryOptions{Login: true}, map[string]string{"auth": basic}},
		{"token", testenv.RegistryOptions{Tokens: true}, map[string]string{"auth": basic}},
		{"identity token", testenv.RegistryOptions{Tokens: true}, map[string]string{
			"auth": base64.StdEncoding.EncodeToString([]byte(testenv.Username + ":")), "identitytoken": testenv.IdentityToken,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := testenv.Registry(t, test.options)
			proxy := testenv.NewProxy(t, registry.Host)
			config, err := json.Marshal(map[string]any{"auths": map[string]any{proxy.Host: test.login}})
			if err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			writeFile(t, filepath.Join(home, "config.json"), string(config))
			e := newExample(t, "hello", filepath.Join(t.TempDir(), "hello"))
			e.env = append(e.env, "DOCKER_CONFIG="+home, "MULTIMAGE_PLATFORMS=linux/amd64,linux/arm64")
			c := &credentials{example: e, registry: registry, proxy: proxy}

			out, err := c.publish(t, "plain")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			refused, err := c.publishRefused(t)
			if err == nil || !strings.Contains(refused, "DENIED") || !strings.Contains(refused, "***") {
				t.Errorf("a registry that shows the request: %v\n%s", err, refused)
			}
			redirected, err := c.publishElsewhere(t)
			if err != nil {
				t.Errorf("a registry that sends requests elsewhere: %v\n%s", err, redirected)
			}

			secrets := c.secrets()
			leaks(t, secrets, "output", []byte(out+refused+redirected))
			for _, root := range []string{filepath.Join(e.dir, "dist"), registry.Storage, cacheOf(e)} {
				leaksBelow(t, secrets, root)
			}
		})
	}
}

// credentials is a project that publishes to a registry which wants a login.
type credentials struct {
	*example
	registry *testenv.RegistryServer
	proxy    *testenv.Proxy
}

// publish publishes under a new name, as verbosely as can be, and returns all
// that was said.
func (c *credentials) publish(t *testing.T, name string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "mage", "-v", "manifest")
	cmd.Dir = c.dir
	cmd.Env = append(c.env, "MULTIMAGE_REGISTRIES="+c.proxy.Host+"/"+name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// publishRefused publishes to a registry that refuses uploads, quoting the
// request.
func (c *credentials) publishRefused(t *testing.T) (string, error) {
	t.Helper()
	c.proxy.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/uploads/") {
			return false
		}
		header := r.Header.Get("Authorization")
		_, value, _ := strings.Cut(header, " ")
		decoded, _ := base64.StdEncoding.DecodeString(value)
		message, _ := json.Marshal(fmt.Sprintf("%s is not enough (%s, or %s)", header, decoded, base64.StdEncoding.EncodeToString([]byte(value))))
		w.Header().Set("X-Refused", header)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%s}]}`, message)
		return true
	})
	defer c.proxy.Answer(nil)
	return c.publish(t, "refused")
}

// publishElsewhere publishes to a registry that has another host take the data
// and give the manifests, as those do that store in a cloud. No request there
// may carry credentials.
func (c *credentials) publishElsewhere(t *testing.T) (string, error) {
	t.Helper()
	var mu sync.Mutex
	var last string // Authorization, of the latest request to the registry
	took := map[string]int{}
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		took[r.Method]++
		authorization := last
		mu.Unlock()
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("another host was sent credentials with %s %s", r.Method, r.URL.Path)
		}
		r.Header.Set("Authorization", authorization)
		c.forward().ServeHTTP(w, r)
	}))
	defer storage.Close()
	c.proxy.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		last = r.Header.Get("Authorization")
		mu.Unlock()
		switch {
		case last == "":
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/"):
			http.Redirect(w, r, storage.URL+r.URL.String(), http.StatusTemporaryRedirect)
			return true
		case r.Method == http.MethodPost:
			f := c.forward()
			f.ModifyResponse = func(resp *http.Response) error {
				if location := resp.Header.Get("Location"); resp.StatusCode == http.StatusAccepted {
					resp.Header.Set("Location", storage.URL+location)
				}
				return nil
			}
			f.ServeHTTP(w, r)
			return true
		}
		return false
	})
	defer c.proxy.Answer(nil)
	out, err := c.publish(t, "elsewhere")
	mu.Lock()
	defer mu.Unlock()
	if took[http.MethodPut] == 0 || took[http.MethodGet] == 0 {
		t.Errorf("the other host took %v, want PUT and GET", took)
	}
	return out, err
}

// forward passes a request to the registry.
func (c *credentials) forward() *httputil.ReverseProxy {
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: c.registry.Host})
}

// secrets are what must not be found, in the forms in which it travels.
func (c *credentials) secrets() map[string]string {
	secrets := map[string]string{}
	add := func(what, secret string) {
		secrets[what] = secret
		secrets[what+" in base64"] = base64.RawStdEncoding.EncodeToString([]byte(secret))
		secrets[what+" in base64 for URLs"] = base64.RawURLEncoding.EncodeToString([]byte(secret))
	}
	add("the password", testenv.Password)
	add("the login", testenv.Username+":"+testenv.Password)
	add("the identity token", testenv.IdentityToken)
	if c.registry.Tokens == nil {
		return secrets
	}
	for i, token := range c.registry.Tokens.Issued() {
		add(fmt.Sprint("token ", i), token)
		parts := strings.Split(token, ".") // the header is no secret
		add(fmt.Sprint("the claims of token ", i), parts[1])
		add(fmt.Sprint("the signature of token ", i), parts[2])
	}
	return secrets
}

// leaks fails the test if the data has one of the secrets.
func leaks(t *testing.T, secrets map[string]string, where string, data []byte) {
	t.Helper()
	for what, secret := range secrets {
		if i := bytes.Index(data, []byte(secret)); i >= 0 {
			t.Errorf("%s has %s: ...%s", where, what, data[max(0, i-200):i+len(secret)])
		}
	}
}

// leaksBelow looks into all files below root, also those that are compressed.
func leaksBelow(t *testing.T, secrets map[string]string, root string) {
	t.Helper()
	files, opened := 0, 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		leaks(t, secrets, file, data)
		if z, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			opened++
			content, err := io.ReadAll(z)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			leaks(t, secrets, file, content)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 || opened == 0 {
		t.Errorf("%s has %d files, %d of them compressed: does this test still look at the right ones?", root, files, opened)
	}
}

func cacheOf(e *example) string {
	for _, v := range e.env {
		if dir, ok := strings.CutPrefix(v, "MULTIMAGE_CACHE="); ok {
			return dir
		}
	}
	return ""
}
