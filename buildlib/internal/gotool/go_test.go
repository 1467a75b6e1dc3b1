package gotool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// module makes a module of the given files, name by content, and returns its
// folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	// Nothing that the machine sets may reach into a test, nor a test out.
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestListFlags(t *testing.T) {
	for _, tt := range []struct{ flags, want string }{
		{"", ""},
		{"-trimpath -buildvcs=false", ""},
		{"-tags=a,b -ldflags=-s", "-tags=a,b"},
		{"--tags=a", "--tags=a"},
		{"-tags a,b -v", "-tags a,b"},
		{"-mod=vendor -x -modfile other.mod -overlay=o.json", "-mod=vendor -modfile other.mod -overlay=o.json"},
		{"-race -p 4 -modcacherw", "-modcacherw"},
		{"-gcflags=-N -asmflags=-D=x", ""},
		{"-tags", "-tags"}, // go says what is missing
	} {
		if got := strings.Join(listFlags(strings.Fields(tt.flags)), " "); got != tt.want {
			t.Errorf("listFlags(%s) = %s, want %s", tt.flags, got, tt.want)
		}
	}
}

func TestList(t *testing.T) {
	g := Go{Dir: module(t, map[string]string{
		"go.mod":              "module example.com/m\n\ngo 1.24\n",
		"cmd/all/main.go":     "package main\nfunc main() {}\n",
		"cmd/unix/main.go":    "//go:build !windows\n\npackage main\nfunc main() {}\n",
		"cmd/tagged/main.go":  "//go:build extra\n\npackage main\nfunc main() {}\n",
		"cmd/lib/lib.go":      "package lib\n",
		"cmd/docs/README.md":  "no Go here\n",
		"cmd/broken/main.go":  "package main\nimport \"example.com/none\"\nfunc main() { none.X() }\n",
		"cmd/needscgo/cgo.go": "package main\nimport \"C\"\nfunc main() {}\n",
	})}
	for _, tt := range []struct {
		name       string
		env, flags []string
		want       []string
	}{
		{"linux", []string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"}, nil,
			[]string{"all main", "broken main", "lib lib", "unix main"}},
		{"windows with a tag", []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, []string{"-trimpath", "-tags=extra"},
			[]string{"all main", "broken main", "lib lib", "tagged main"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pkgs, err := g.List(t.Context(), tt.env, tt.flags, "./cmd/...")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range pkgs {
				got = append(got, strings.TrimPrefix(p.ImportPath, "example.com/m/cmd/")+" "+p.Name)
				if p.Module.Path != "example.com/m" || p.Dir == "" {
					t.Errorf("%s: module %q in %q", p.ImportPath, p.Module.Path, p.Dir)
				}
			}
			// A pattern leaves out the packages that no file is left of.
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	for pattern, want := range map[string]string{
		"./cmd/none":        "directory not found",
		"example.com/none":  "no required module provides package",
		"./cmd/tagged":      "build constraints exclude all Go files",
		"./cmd/docs":        "no Go files",
		"./../outside/of/m": "outside",
	} {
		pkgs, err := g.List(t.Context(), nil, nil, pattern)
		if err != nil || len(pkgs) != 1 || pkgs[0].Error == nil || !strings.Contains(pkgs[0].Error.Err, want) {
			t.Errorf("List(%s): %+v, %v, want an error of the package that says %q", pattern, pkgs, err, want)
		}
	}
}

func TestEnv(t *testing.T) {
	dir := module(t, map[string]string{"go.mod": "module example.com/m\n\ngo 1.24\n"})
	t.Setenv("GOFLAGS", "-tags=fromenv")
	t.Setenv("GOFIPS140", "latest")
	env, err := Go{Dir: dir}.Env(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(env.Version, "go1.") || env.Flags != "-tags=fromenv" || env.FIPS140 != "latest" {
		t.Errorf("env %+v", env)
	}
	if env.Mod != filepath.Join(dir, "go.mod") {
		t.Errorf("go.mod is %s, want that of %s", env.Mod, dir)
	}
	if info, err := os.Stat(filepath.Join(env.Root, "src", "runtime")); err != nil || !info.IsDir() {
		t.Errorf("GOROOT %s: %v", env.Root, err)
	}
}

// What go says is the error, whole.
func TestFailure(t *testing.T) {
	dir := module(t, map[string]string{"go.mod": "module example.com/m\n\ngo 1.24\nnonsense\n"})
	_, err := Go{Dir: dir}.List(t.Context(), nil, nil, ".")
	var failure *process.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("error %v, want a Failure", err)
	}
	if want := "go.mod:4: unknown directive: nonsense"; !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "go list: exit status 1") {
		t.Errorf("error %v, want one that says %q", err, want)
	}
}

func TestNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Go{}.Env(t.Context())
	if err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
