package adopt

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what comes out to testdata")

const want = "want/project.go"

// Each file of testdata is a project, and the project.go that is made of it.
func TestProject(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatal(err, files)
	}
	checked := t.TempDir()
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			wanted := ""
			for _, f := range archive.Files {
				if f.Name == want {
					wanted = string(f.Data)
					continue
				}
				write(t, filepath.Join(dir, f.Name), f.Data)
			}
			got, err := Project(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				last := len(archive.Files) - 1
				if archive.Files[last].Name != want {
					archive.Files = append(archive.Files, txtar.File{Name: want})
					last++
				}
				archive.Files[last].Data = got
				write(t, file, txtar.Format(archive))
			} else if string(got) != wanted {
				t.Errorf("got:\n%s\nwant:\n%s", got, wanted)
			}
			write(t, filepath.Join(checked, strings.TrimSuffix(filepath.Base(file), ".txtar"), "project.go"), got)
		})
	}
	compiles(t, checked)
}

// compiles type-checks the packages below dir as part of a project that has
// multimage.
func compiles(t *testing.T, dir string) {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "go.mod" {
			_, rest, _ := strings.Cut(string(data), "\n")
			data = []byte("module magefiles\n" + rest + "\nrequire github.com/multimage/multimage v0.0.0\nreplace github.com/multimage/multimage => " + root + "\n")
		}
		write(t, filepath.Join(dir, name), data)
	}
	cmd := exec.Command("go", "vet", "-tags=mage", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
