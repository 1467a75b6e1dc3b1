package gotool

import (
	"cmp"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// buildContext decides which files go compiles, as if cgo were on.
func buildContext(env, flags []string) build.Context {
	c := build.Default
	c.CgoEnabled = true
	c.GOOS, c.GOARCH = cmp.Or(variable(env, "GOOS"), c.GOOS), cmp.Or(variable(env, "GOARCH"), c.GOARCH)
	c.BuildTags = strings.FieldsFunc(FlagValue(flags, "tags"), func(r rune) bool { return r == ',' || r == ' ' })
	return c
}

// needsCgo reports whether go ignores one of the files only because cgo is off: the
// file imports "C", or has a build constraint on cgo.
func needsCgo(on build.Context, dir string, ignored []string) bool {
	off := on
	off.CgoEnabled = false
	for _, name := range ignored {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if ok, err := on.MatchFile(dir, name); err != nil || !ok {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"C"` }) {
			return true
		}
		if ok, err := off.MatchFile(dir, name); err == nil && !ok {
			return true
		}
	}
	return false
}
