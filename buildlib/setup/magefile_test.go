package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What mage finds by an import, the magefile that setup writes has as functions.
func TestMagefileHasAllTargets(t *testing.T) {
	files, err := filepath.Glob("../targets/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no files in targets")
	}
	library := map[string]string{}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			targets(t, name, string(source), library)
		}
	}
	ours := map[string]string{}
	targets(t, "magefile.txt", magefile, ours)
	if len(library) < 9 {
		t.Fatalf("package targets has only %v: does this test still find them?", library)
	}
	for name, doc := range library {
		if got, ok := ours[name]; !ok || got != doc {
			t.Errorf("magefile.txt has %s as %q, package targets as %q", name, got, doc)
		}
	}
	for name := range ours {
		if _, ok := library[name]; !ok {
			t.Errorf("magefile.txt has %s, and package targets no such target", name)
		}
	}
}

// targets collects mage's targets of a file, by name, with what mage says of them.
func targets(t *testing.T, name, source string, into map[string]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() || f.Type.Results == nil || len(f.Type.Results.List) != 1 {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			receiver, ok := f.Recv.List[0].Type.(*ast.Ident)
			if !ok || !receiver.IsExported() {
				continue
			}
			name = receiver.Name + "." + name
		}
		synopsis, _, _ := strings.Cut(f.Doc.Text(), "\n")
		if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "error" && !slices.Contains([]string{"Open"}, name) {
			into[name] = synopsis
		}
	}
}
