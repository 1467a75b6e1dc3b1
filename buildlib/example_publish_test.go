package buildlib_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
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
	dist, err := os.MkdirTemp("", "dist")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dist)

	project := buildlib.Project{
		Dir: "../examples/hello", Output: dist, Version: "v1.2.3", Platforms: []string{"linux/arm64"},
		Registries: []string{host + "/acme"}, Tags: []string{"{{.Version}}", "latest"},
	}
	// Without AllowDirty, latest stays where it is while files are changed.
	plan, err := project.Plan(ctx, buildlib.Overrides{AllowDirty: true})
	if err != nil {
		log.Fatal(err)
	}
	b, err := buildlib.Open(ctx, plan, buildlib.Options{
		Cache:    dist + "/cache",
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
