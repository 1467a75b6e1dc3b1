package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/multimage/multimage/examples/services/internal/facts"
)

func TestFacts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	handler, err := agent().Start(ctx, &group, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/v1/facts", nil))
	var f facts.Facts
	if err := json.Unmarshal(answer.Body.Bytes(), &f); err != nil || f.CPUs < 1 {
		t.Errorf("%s: %v", answer.Body, err)
	}
}
