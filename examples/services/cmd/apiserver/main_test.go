package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multimage/multimage/examples/services/internal/cluster"
)

func TestWithoutCluster(t *testing.T) {
	answer := httptest.NewRecorder()
	handler(nil).ServeHTTP(answer, httptest.NewRequest("GET", "/v1/pods", nil))
	if answer.Code != http.StatusServiceUnavailable {
		t.Errorf("GET /v1/pods: %d", answer.Code)
	}
}

// TestView talks to a server that knows as much of Kubernetes as informers
// ask for: lists, and watches on which nothing happens.
func TestView(t *testing.T) {
	lists := map[string]string{
		"/api/v1/pods": `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[
			{"metadata":{"name":"web-1","namespace":"shop"},"spec":{"nodeName":"arm-1"},"status":{"phase":"Running"}},
			{"metadata":{"name":"dns","namespace":"kube-system"},"status":{"phase":"Pending"}}]}`,
		"/api/v1/nodes": `{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[
			{"metadata":{"name":"arm-1"},"status":{"nodeInfo":{"architecture":"arm64"}}}]}`,
	}
	kube := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, ok := lists[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case r.URL.Query().Get("sendInitialEvents") == "true":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, list)
		}
	}))
	defer kube.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: test\n" +
		"clusters: [{name: test, cluster: {server: \"" + kube.URL + "\"}}]\n" +
		"contexts: [{name: test, context: {cluster: test}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := cluster.Connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	api := handler(cluster.Watch(ctx, client, &group))
	for path, want := range map[string]string{
		"/v1/pods":                 `[{"namespace":"kube-system","name":"dns","phase":"Pending"},{"namespace":"shop","name":"web-1","phase":"Running","node":"arm-1"}]`,
		"/v1/namespaces/shop/pods": `[{"namespace":"shop","name":"web-1","phase":"Running","node":"arm-1"}]`,
		"/v1/nodes":                `[{"name":"arm-1","architecture":"arm64"}]`,
		"/v1/leader":               `{"leader":""}`,
	} {
		if got := eventually(t, api, path); got != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
}

// eventually asks until the view is ready.
func eventually(t *testing.T, api http.Handler, path string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code == http.StatusOK {
			return strings.TrimSpace(answer.Body.String())
		}
	}
	t.Fatalf("GET %s: never ready", path)
	return ""
}
