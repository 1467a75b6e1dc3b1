package buildlib

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of a package have an order: each knows those before it. A circle of
// files can only be understood as a whole.
func TestFilesHaveAnOrder(t *testing.T) {
	// A type and what is made of it, or a stage and its undoing, may know each other.
	const most = 2
	fset := token.NewFileSet()
	exports := importer.ForCompiler(fset, "gc", exported(t))
	for _, p := range list(t) {
		if strings.HasSuffix(p.ImportPath, "/testenv") || p.system != "linux" {
			continue
		}
		for _, circle := range circles(references(t, fset, exports, p)) {
			if len(circle) > most {
				t.Errorf("%s: %d files know each other: %s", p.ImportPath, len(circle), strings.Join(circle, " "))
			}
		}
	}
}

// exported opens what the compiler says of a package.
func exported(t *testing.T) importer.Lookup {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", "./...")
	cmd.Env, cmd.Stderr = append(os.Environ(), "GOOS=linux"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// references are, for each file of the package, the others whose declarations it
// uses.
func references(t *testing.T, fset *token.FileSet, imports types.Importer, p listed) map[string][]string {
	t.Helper()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	pkg, err := (&types.Config{Importer: imports}).Check(p.ImportPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	file := func(at token.Pos) string { return filepath.Base(fset.Position(at).Filename) }
	uses := map[string][]string{}
	for id, of := range info.Uses {
		if of.Pkg() != pkg {
			continue
		}
		from, to := file(id.Pos()), file(of.Pos())
		if from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	return uses
}

// circles are the sets of files that lead to each other.
func circles(uses map[string][]string) [][]string {
	reached := map[string]map[string]bool{}
	var follow func(from, at string)
	follow = func(from, at string) {
		for _, to := range uses[at] {
			if !reached[from][to] {
				reached[from][to] = true
				follow(from, to)
			}
		}
	}
	for f := range uses {
		reached[f] = map[string]bool{}
		follow(f, f)
	}
	var all [][]string
	for f := range reached {
		var circle []string
		for other := range reached[f] {
			if reached[other][f] {
				circle = append(circle, other)
			}
		}
		slices.Sort(circle)
		if len(circle) > 1 && circle[0] == f {
			all = append(all, circle)
		}
	}
	return all
}
