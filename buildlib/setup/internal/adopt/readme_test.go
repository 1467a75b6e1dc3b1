package adopt

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// The README begins with a Dockerfile and what setup makes of it.
func TestREADME(t *testing.T) {
	testenv.Require(t, "git")
	readme, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```dockerfile\n(.*?)^```$.*?^```go\n(.*?)^```$").FindSubmatch(readme)
	if m == nil {
		t.Fatal("README.md has no Dockerfile with Go behind it")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), m[1])
	write(t, filepath.Join(dir, "go.mod"), []byte("module example.com/router\n\ngo 1.24\n"))
	write(t, filepath.Join(dir, "cmd", "router", "main.go"), []byte("package main\n\nfunc main() {}\n"))
	write(t, filepath.Join(dir, "web", "index.html"), []byte("hello"))
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "https://github.com/Acme/router.git"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	got, err := Project(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(m[2]) {
		t.Errorf("setup makes\n%s\nand README.md says\n%s", got, m[2])
	}
}
