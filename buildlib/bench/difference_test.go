package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What explains a difference is said: here a byte of a section.
func TestBinaryDifference(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed")
	at := len(data) / 2
	data[at] ^= 1
	if err := os.WriteFile(changed, append(data, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := binaryDifference(self, changed)
	if err != nil || !strings.Contains(got, "the first difference is at byte ") || !strings.Contains(got, " bytes natively, ") {
		t.Errorf("%q, %v", got, err)
	}
	if got := unequal(map[string]string{"same": "1", "other": "1", "gone": ""}, map[string]string{"same": "1", "other": "2", "new": "3"}); strings.Join(got, " ") != "gone new other" {
		t.Errorf("unequal: %q", got)
	}
	if same, err := binaryDifference(self, self); same != "" || err != nil {
		t.Errorf("a binary differs from itself: %q, %v", same, err)
	}
}
