package routes_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/multimage/multimage/examples/services/internal/routes"
)

func TestHandler(t *testing.T) {
	gin.SetMode(gin.TestMode)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, r.Header.Get("X-Forwarded-Host"))
	}))
	defer backend.Close()
	handler, err := routes.Handler([]routes.Route{{Prefix: "/cluster", Target: backend.URL}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	host := server.Listener.Addr().String()
	for path, want := range map[string]string{
		"/cluster/v1/nodes": "/v1/nodes for " + host,
		"/routes":           fmt.Sprintf(`{"routes":[{"prefix":"/cluster","target":"%s"}]}`, backend.URL),
		"/other":            "404 page not found",
	} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	gin.SetMode(gin.TestMode)
	for _, r := range []routes.Route{{Prefix: "/x", Target: "nowhere"}, {Prefix: "x", Target: "http://x"}, {Prefix: "/routes", Target: "http://x"}} {
		if _, err := routes.Handler([]routes.Route{r}); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
	if _, err := routes.Read("../../configs/routes.json"); err != nil {
		t.Error(err)
	}
}
