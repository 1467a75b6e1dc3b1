package gotool

import (
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// buildContext is what decides which files go takes, as if cgo were on.
func buildContext(env, flags []string) build.Context {
	c := build.Default
	c.CgoEnabled = true
	for _, variable := range env {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "GOOS":
			c.GOOS = value
		case "GOARCH":
			c.GOARCH = value
		}
	}
	c.BuildTags = strings.FieldsFunc(FlagValue(flags, "tags"), func(r rune) bool { return r == ',' || r == ' ' })
	return c
}

// needsCgo reports whether one of the files that go ignores is left out for cgo
// alone: it imports "C", or go takes it only if cgo is on.
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
		for _, i := range f.Imports {
			if i.Path.Value == `"C"` {
				return true
			}
		}
		if ok, err := off.MatchFile(dir, name); err == nil && !ok {
			return true
		}
	}
	return false
}
