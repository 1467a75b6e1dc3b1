package buildlib

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// A registry that shows the password it was sent, wherever it can, doesn't
// bring it into errors or events, not even a part of it.
func TestPasswordsOfBasesAreHidden(t *testing.T) {
	const password = "Hunter2secret-that-is-of-some-length"
	var sent string // what the registry shows
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		manifest := func(mediaType string) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": []any{
				map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 9, "digest": "sha256:" + strings.Repeat("0", 64),
					"platform": map[string]any{"os": sent, "architecture": sent}}}})
		}
		diagnose := func(status int) {
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": sent, "message": sent, "detail": []any{sent}}}})
		}
		switch kind := strings.Split(r.URL.Path, "/")[2]; kind {
		case "v2":
		case "type":
			manifest(strings.Repeat("x", 180) + sent)
		case "platform":
			manifest("application/vnd.oci.image.index.v1+json")
		case "content":
			w.Header().Set("Content-Type", "text/"+sent)
			fmt.Fprint(w, "<html>")
		case "host":
			http.Redirect(w, r, "http://"+sent+".invalid/x", http.StatusFound)
		case "query":
			http.Redirect(w, r, "/v2/host2/x?token="+url.QueryEscape(sent), http.StatusFound)
		case "host2":
			http.Redirect(w, r, "ftp://example.invalid/x?token="+url.QueryEscape(sent), http.StatusFound)
		case "unauthorized":
			diagnose(http.StatusUnauthorized)
		default:
			diagnose(http.StatusBadRequest)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	pair := base64.StdEncoding.EncodeToString([]byte("me:" + password))
	forms := []string{password, strings.ToLower(password), pair, strings.TrimRight(pair, "="), base64.StdEncoding.EncodeToString([]byte(password))}
	dir := project(t, oneMain())
	commit(t, dir, "v1.0.0")
	config := filepath.Join(t.TempDir(), "config.json")
	write(t, config, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, pair))
	t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
	for _, kind := range []string{"type", "platform", "content", "host", "query", "unauthorized", "refused"} {
		for _, sent = range forms {
			if kind == "host" && strings.Contains(sent, "=") {
				continue
			}
			p, events := watched(t, dir, Project{Platforms: []string{"linux/amd64"}, Images: []Image{{Name: "server", Base: host + "/" + kind + ":1"}}}, Overrides{})
			_, err := p.Images(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			for _, e := range events.events {
				text += "\n" + e.Subject + e.Detail
			}
			for _, form := range forms {
				if strings.Contains(strings.ToLower(text), strings.ToLower(form[:8])) {
					t.Errorf("%s, sent %s: %s", kind, sent, text)
				}
			}
		}
	}
}
