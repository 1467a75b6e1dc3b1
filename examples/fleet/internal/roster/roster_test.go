package roster

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReportsAreListed(t *testing.T) {
	server := httptest.NewServer((&Roster{}).Handler())
	defer server.Close()
	client := Client{URL: server.URL + "/"}
	for _, report := range []Report{
		{Device: "b", Platform: "linux/arm64", Version: "v1"},
		{Device: "a", Platform: "linux/riscv64", Version: "v1"},
		{Device: "b", Platform: "linux/arm64", Version: "v2"},
	} {
		if err := client.Send(t.Context(), report); err != nil {
			t.Fatal(err)
		}
	}
	list, err := client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		if r.Seen.IsZero() {
			t.Errorf("%s was never seen", r.Device)
		}
		got = append(got, r.Device+" "+r.Platform+" "+r.Version)
	}
	if want := "a linux/riscv64 v1, b linux/arm64 v2"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestBadReportsAreRefused(t *testing.T) {
	server := httptest.NewServer((&Roster{}).Handler())
	defer server.Close()
	if err := (Client{URL: server.URL}).Send(t.Context(), Report{}); err == nil {
		t.Error("a report without a device was taken")
	}
	long := `{"device":"` + strings.Repeat("x", maxReport) + `"}`
	resp, err := http.Post(server.URL+"/devices", "application/json", strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a long report: %s", resp.Status)
	}
}
