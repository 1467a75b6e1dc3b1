package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out); err != nil {
		t.Fatal(err)
	}
	want := "hello dev " + runtime.GOOS + "/" + runtime.GOARCH
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want it to start with %q", out.String(), want)
	}
}

func TestPages(t *testing.T) {
	server := httptest.NewServer(handler())
	defer server.Close()
	for path, want := range map[string]int{"/": 200, "/healthz": 200, "/nothing": 404} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}
}

// The whole life: start on a free port, be healthy, end when asked to.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"--port=0"}, write) }()

	line := make([]byte, 200)
	n, err := read.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(line[strings.LastIndex(string(line[:n]), " ")+1 : n]))
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatalf("%q: %v", line[:n], err)
	}
	if err := run(t.Context(), []string{"--health", "--port=" + port}, io.Discard); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := run(t.Context(), []string{"--health", "--port=" + port}, io.Discard); err == nil {
		t.Error("healthy after its end")
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"--port=x"}, {"--port=70000"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
