package wording

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"PLATFORMS", "REGISTRIES", "TAGS", "JOBS", "linux/amd64", "linux/arm64", "linux/riscv64", "a"}
	for s, want := range map[string]string{
		"PLATFORM":      "PLATFORMS",
		"platforms":     "PLATFORMS",
		"REGISTRY":      "REGISTRIES", // the longer one counts
		"TAG":           "TAGS",
		"JOB":           "JOBS",
		"linux/amd46":   "linux/amd64",
		"linux/arm46":   "linux/arm64",
		"linux/riscv":   "linux/riscv64",
		"linux/aarch64": "linux/arm64",
		"":              "",
		"b":             "", // all of it would be another
		"DEBUG":         "",
		"windows/amd64": "",
	} {
		if got := Nearest(s, candidates); got != want {
			t.Errorf("%q is nearest to %q, want %q", s, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("%q of no candidates", got)
	}
}
