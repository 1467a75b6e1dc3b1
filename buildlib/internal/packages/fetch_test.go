package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// Of a server that sends on and on no more is read than the package has.
func TestOpenEndless(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(content)
		for r.URL.Path == "/endless" {
			if _, err := w.Write(content); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	cache, err := store.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	c := &Client{Cache: cache}
	sum := sha256.Sum256(content)
	want := hex.EncodeToString(sum[:])
	if _, err := c.Open(t.Context(), server.URL+"/endless", strings.Repeat("0", 64), 1000); err == nil {
		t.Error("bytes of another hash are taken")
	}
	r, err := c.Open(t.Context(), server.URL+"/whole", want, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, content) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}
