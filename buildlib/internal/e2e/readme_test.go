package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goSnippet is a block of Go in the README; goIndented is how one would go unseen.
var (
	goSnippet  = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	goIndented = regexp.MustCompile(`(?m)^    (package |import |func |//go:build)`)
)

// Users copy what the README shows: each piece of Go in it compiles.
func TestREADMESnippets(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if found := goIndented.FindString(string(readme)); found != "" {
		t.Errorf("README.md has Go that is not in a block of ```go, which nothing compiles: %q", found)
	}
	snippets := goSnippet.FindAllStringSubmatch(string(readme), -1)
	if len(snippets) < 8 {
		t.Fatalf("README.md has only %d blocks of Go: does this test still find them?", len(snippets))
	}
	dir := t.TempDir()
	files, err := goModule(root, "readme")
	if err != nil {
		t.Fatal(err)
	}
	for i, snippet := range snippets {
		name := fmt.Sprintf("snippet%d/snippet.go", i)
		files[name] = whole(snippet[1])
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	cmd := exec.Command("go", "vet", "-tags=mage", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}

// whole makes a file of declarations, or of fields of a Project or Image.
func whole(snippet string) string {
	const header = "package main\n\nimport \"github.com/multimage/multimage/buildlib\"\n\n"
	fields := strings.TrimSuffix(strings.TrimSpace(snippet), ",") + ",\n"
	switch {
	case strings.Contains(snippet, "package main\n"):
		return snippet
	case strings.HasPrefix(snippet, "import "):
		return "package main\n\n" + snippet
	case strings.HasPrefix(snippet, "Bases:"), strings.HasPrefix(snippet, "Images:"), strings.HasPrefix(snippet, "Render:"), strings.HasPrefix(snippet, "Binaries: []buildlib.Binary"):
		return header + "var _ = buildlib.Project{\n" + fields + "}\n"
	case strings.HasPrefix(snippet, "{"):
		return header + "var _ = []buildlib.Image{\n" + fields + "}\n"
	default:
		return header + "var _ = buildlib.Image{\n" + fields + "}\n"
	}
}
