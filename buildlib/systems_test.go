package buildlib

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// Everything, tests too, has the types that it needs on the systems that no test runs
// on. To compile it there would take ten times as long, for what it stands on.
func TestOtherSystems(t *testing.T) {
	testenv.Slow(t)
	for _, platform := range []string{"darwin/arm64", "windows/amd64"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			system, arch, _ := strings.Cut(platform, "/")
			cmd := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,GoFiles,ImportMap,Module", "./...")
			cmd.Dir, cmd.Stderr = "..", os.Stderr
			cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			checked := map[string]*types.Package{"unsafe": types.Unsafe}
			ours := 0
			for d := json.NewDecoder(out); ; { // a package follows what it imports
				var p listedDep
				if err := d.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") { // which has the tests' main
					continue
				}
				if p.Module.Main {
					ours++
				}
				pkg, err := p.check(checked, arch, p.Module.Main)
				if err != nil {
					t.Fatalf("%s: %v", p.ImportPath, err)
				}
				checked[p.ImportPath] = pkg
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if ours < 40 {
				t.Errorf("checked %d packages of this module", ours)
			}
		})
	}
}

// listedDep is what go list says of a package and what it imports.
type listedDep struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
	Module          struct{ Main bool }
}

// check checks the types of the package, and the bodies of its functions if asked to.
// Those that it imports are in checked.
func (p listedDep) check(checked map[string]*types.Package, arch string, bodies bool) (*types.Package, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	config := types.Config{Importer: importerFunc(func(path string) (*types.Package, error) {
		if to, ok := p.ImportMap[path]; ok {
			path = to
		}
		if pkg := checked[path]; pkg != nil {
			return pkg, nil
		}
		return nil, errors.New("not listed before: " + path)
	}), Sizes: types.SizesFor("gc", arch), IgnoreFuncBodies: !bodies}
	return config.Check(p.ImportPath, fset, files, nil)
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }
