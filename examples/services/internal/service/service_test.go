package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/multimage/multimage/examples/services/internal/service"
)

func TestVersion(t *testing.T) {
	s := service.Service{Name: "clock", Version: "v1.2.3"}
	var out bytes.Buffer
	if err := s.Run(t.Context(), []string{"--version"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "clock v1.2.3 " + service.Platform(); !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want it to start with %q", out.String(), want)
	}
}

// The whole life: start, answer, be healthy, end in order.
func TestRun(t *testing.T) {
	ended := false
	greeting := ""
	s := service.Service{
		Name:  "greeter",
		Flags: func(f *flag.FlagSet) { f.StringVar(&greeting, "greeting", "hi", "what to say") },
		Start: func(ctx context.Context, group *sync.WaitGroup, _ *slog.Logger) (http.Handler, error) {
			group.Go(func() {
				<-ctx.Done()
				ended = true
			})
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, greeting) }), nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, []string{"--port=0", "--greeting=servus"}, write) }()

	var started struct{ Address string }
	if err := json.NewDecoder(read).Decode(&started); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(started.Address)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "servus" {
		t.Errorf("GET /: %q", body)
	}
	if err := s.Run(t.Context(), []string{"--health", "--port=" + port}, io.Discard); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	if !ended {
		t.Error("Run returned before the service's own work had ended")
	}
	if err := s.Run(t.Context(), []string{"--health", "--port=" + port}, io.Discard); err == nil {
		t.Error("healthy after its end")
	}
}
