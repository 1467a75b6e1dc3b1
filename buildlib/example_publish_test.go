package buildlib_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/multimage/multimage/buildlib"
)

// vault is a keychain of one's own: logins that are in neither Docker's nor
// Podman's files.
type vault map[string]authn.Basic

func (v vault) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if login, ok := v[target.RegistryStr()]; ok {
		return &login, nil
	}
	return authn.Anonymous, nil
}

// The results of a publish, in a registry that wants a login, which comes from a
// keychain of one's own.
func ExampleBuilder_Manifest() {
	ctx := context.Background()
	host, stop := registryWithLogin("ci", "secret")
	defer stop()
	dir, err := tinyProject() // with the program ./cmd/hello
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	project := buildlib.Project{
		Dir: dir, Version: "v1.2.3", Platforms: []string{"linux/arm64"},
		Registries: []string{host + "/acme"}, Tags: []string{"{{.Version}}", "latest"},
	}
	plan, err := project.Plan(ctx, buildlib.Overrides{})
	if err != nil {
		log.Fatal(err)
	}
	b, err := buildlib.Open(ctx, plan, buildlib.Options{
		Cache:    filepath.Join(dir, "cache"),
		Keychain: vault{host: {Username: "ci", Password: "secret"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	images, err := b.Manifest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, image := range images {
		for _, p := range image.Published {
			fmt.Println(image.Name, strings.TrimPrefix(p.Repository, host), p.Written)
		}
		// image.Refs[0].String() is REPOSITORY@DIGEST, to deploy by.
		fmt.Println(image.Refs[0].Digest == image.Digest, image.Platforms[0].Platform)
	}

	// Output:
	// hello /acme/hello [v1.2.3 latest]
	// true linux/arm64
}

// tinyProject writes a project whose program is compiled in no time.
func tinyProject() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "tiny"); err != nil {
		return "", err
	}
	return dir, errors.Join(
		os.MkdirAll(filepath.Join(dir, "cmd", "hello"), 0o755),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/tiny\n\ngo 1.26\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "cmd", "hello", "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644),
	)
}

// registryWithLogin serves a registry on the loopback interface.
func registryWithLogin(user, password string) (host string, stop func()) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	return strings.TrimPrefix(s.URL, "http://"), s.Close
}
