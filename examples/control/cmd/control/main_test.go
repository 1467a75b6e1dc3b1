package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

func TestScript(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	s := script{"../../scripts/place.py"}
	server := httptest.NewServer(s.handler())
	defer server.Close()
	for _, test := range []struct {
		input, want string
		status      int
	}{
		{`{"nodes": {"a": 1}, "jobs": {"x": 1, "y": 1}}`, `{"x": "a", "y": null}`, 200},
		{`nonsense`, "JSONDecodeError", 422},
		{`{"nodes": {}}`, "KeyError: 'jobs'", 422},
	} {
		resp, err := http.Post(server.URL+"/v1/place", "application/json", strings.NewReader(test.input))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || !strings.Contains(string(body), test.want) {
			t.Errorf("%s: %s, %s, %v; want %d, %s", test.input, resp.Status, body, err, test.status, test.want)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--check", "--script=" + s.file}, &out); err != nil || !strings.HasPrefix(out.String(), "control dev: Python 3.") {
		t.Errorf("--check: %q, %v", out.String(), err)
	}
}
