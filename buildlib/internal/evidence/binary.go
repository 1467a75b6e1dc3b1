package evidence

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Binary is a Go program in an image, with its build info (runtime/debug.BuildInfo).
type Binary struct {
	Path    string   `json:"path"` // in the image
	Digest  v1.Hash  `json:"digest"`
	Package string   `json:"package,omitempty"` // import path; empty: it has no build info
	Go      string   `json:"go,omitempty"`      // like go1.26.8
	Main    Module   `json:"main,omitzero"`
	Modules []Module `json:"modules,omitempty"`
	// Settings are those of go build, as KEY=VALUE.
	Settings []string `json:"settings,omitempty"`
}

// Module is a module that a binary was compiled from, after replace directives.
type Module struct {
	Path     string `json:"path"`
	Version  string `json:"version"`
	Sum      string `json:"sum,omitempty"`      // h1: as in go.sum; empty for the main module and folders
	Replaces string `json:"replaces,omitempty"` // PATH@VERSION that it replaces
}

// develVersion is the version of a module without one.
const develVersion = "(devel)"

// Executable is a program of an image.
type Executable struct {
	Path   string // in the image
	Source string // on this machine
	Digest v1.Hash
}

// readBinary reads the build info of the file that a binary was made from.
func readBinary(e Executable) (Binary, error) {
	f, err := os.Open(e.Source)
	if err != nil {
		return Binary{}, err
	}
	defer f.Close()
	b := Binary{Path: e.Path, Digest: e.Digest}
	b.read(f)
	return b, nil
}

// read takes over the build info of a program, if it has one: a linker's flag may
// leave it out.
func (b *Binary) read(program io.ReaderAt) {
	info, err := buildinfo.Read(program)
	if err != nil {
		return
	}
	b.Package, b.Go = info.Path, info.GoVersion
	if info.Main.Path != "" {
		b.Main = module(&info.Main)
	}
	for _, m := range info.Deps {
		b.Modules = append(b.Modules, module(m))
	}
	for _, s := range info.Settings {
		b.Settings = append(b.Settings, s.Key+"="+s.Value)
	}
}

// module resolves a replace directive. Replaced by a folder, it is still the module,
// without a known version: the folder's name may reveal something of this machine.
func module(m *debug.Module) Module {
	if m.Replace == nil {
		return Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	}
	replaces := strings.TrimSuffix(m.Path+"@"+m.Version, "@")
	if folder := m.Replace.Version == "" || m.Replace.Version == develVersion; folder {
		return Module{Path: m.Path, Version: develVersion, Replaces: replaces}
	}
	return Module{Path: m.Replace.Path, Version: m.Replace.Version, Sum: m.Replace.Sum, Replaces: replaces}
}

// stdlib is the standard library as a module, as vulnerability databases know it.
func (b *Binary) stdlib() Module {
	version, _, _ := strings.Cut(strings.TrimPrefix(b.Go, "go"), " ") // a space and experiments may follow
	return Module{Path: "stdlib", Version: version}
}

// difference says how two binaries' build infos differ, or nothing.
func (b *Binary) difference(o *Binary) string {
	switch {
	case b.Go != o.Go:
		return fmt.Sprintf("Go %s here, %s there", b.Go, o.Go)
	case b.Package != o.Package:
		return fmt.Sprintf("package %s here, %s there", b.Package, o.Package)
	}
	here, there := b.modules(), o.modules()
	all := maps.Clone(here)
	maps.Copy(all, there)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		h, ok := here[path]
		t, both := there[path]
		switch {
		case !ok:
			return fmt.Sprintf("module %s %s only there", path, t.Version)
		case !both:
			return fmt.Sprintf("module %s %s only here", path, h.Version)
		case h.Version != t.Version:
			return fmt.Sprintf("module %s %s here, %s there", path, h.Version, t.Version)
		case h != t:
			return fmt.Sprintf("module %s %s: sum %q here, %q there", path, h.Version, h.Sum, t.Sum)
		}
	}
	return compareMaps(settings(b.Settings), settings(o.Settings))
}

// modules are all modules by path, the main one too.
func (b *Binary) modules() map[string]Module {
	all := map[string]Module{b.Main.Path: b.Main}
	for _, m := range b.Modules {
		all[m.Path] = m
	}
	return all
}

// settings are KEY=VALUE by key.
func settings(list []string) map[string]string {
	values := map[string]string{}
	for _, s := range list {
		key, value, _ := strings.Cut(s, "=")
		values[key] = value
	}
	return values
}

// compareMaps says where two maps first differ, or nothing.
func compareMaps(here, there map[string]string) string {
	all := map[string]string{}
	maps.Copy(all, here)
	maps.Copy(all, there)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if here[key] != there[key] {
			return fmt.Sprintf("%s %q here, %q there", key, here[key], there[key])
		}
	}
	return ""
}
