package gotool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Inputs are what go compiles into a Build's mains from folders that may change:
// all packages but those of the standard library and the module cache. They are as
// they were when Go.Inputs returned.
type Inputs struct {
	Files    map[string]Input  // by absolute path
	Packages map[string]Source // by absolute folder
	// Cgo are the import paths, sorted, of packages with files that are left out
	// because cgo is off. The standard library isn't among them.
	Cgo []string
	// Key is a hash of what was asked.
	Key string

	recorded bool // whether the record says the same
}

// Input is a file that go reads.
type Input struct {
	Identity disk.Identity // zero: there is no such file
	// Header is a digest of the part that decides which other files go reads, or
	// contentOnly if there is none. Empty: any change counts.
	Header string `json:",omitempty"`
}

const contentOnly = "content"

// Source is a folder that go compiles a package from.
type Source struct {
	ImportPath string
	Module     string   `json:",omitempty"` // the module's path
	Names      []string // the files that go would look at
	Patterns   []string `json:",omitempty"` // of go:embed
	Embedded   []string `json:",omitempty"` // the files that match, relative
}

// listed is a package as go list -deps prints it.
type listed struct {
	Dir, ImportPath, DefaultPGO string
	Standard                    bool
	Module                      *listedModule
	GoFiles, CgoFiles, CFiles, CXXFiles, MFiles, HFiles, FFiles, SFiles,
	SwigFiles, SwigCXXFiles, SysoFiles, IgnoredGoFiles, EmbedPatterns []string
}

type listedModule struct{ Path, GoMod string }

const listedFields = "Dir,ImportPath,DefaultPGO,Standard,Module,GoFiles,CgoFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles,IgnoredGoFiles,EmbedPatterns"

// Inputs asks go what b is made of, unless the record beside b's folder knows and
// nothing that affects the answer has changed; finding out takes a stat of each file.
// env is the go command's own.
func (g Go) Inputs(ctx context.Context, b Build, env Env) (Inputs, error) {
	key := inputsKey(b, env)
	var known Inputs
	if disk.ReadRecord(b.inputsPath(), &known) == nil && known.Key == key {
		if now, ok := known.refresh(); ok {
			return now, nil
		}
	}
	in := Inputs{Files: map[string]Input{}, Packages: map[string]Source{}, Key: key}
	flags := slices.Concat(SplitFlags(env.Flags), b.Args)
	args := slices.Concat([]string{"list", "-e", "-deps", "-json=" + listedFields}, listFlags(b.Args), []string{"--"}, b.packages())
	out, err := g.output(ctx, b.Env, args...)
	if err != nil {
		return in, err
	}
	context := buildContext(b.Env, flags)
	packages, err := decode[listed](out)
	if err != nil {
		return in, err
	}
	for _, p := range packages {
		if p.Standard || p.Dir == "" {
			continue
		}
		if needsCgo(context, p.Dir, p.IgnoredGoFiles) {
			in.Cgo = append(in.Cgo, p.ImportPath)
		}
		if env.ModCache == "" || !disk.Inside(p.Dir, env.ModCache) {
			in.add(p)
		}
	}
	slices.Sort(in.Cgo)
	for _, file := range []string{env.Mod, env.Work} {
		if filepath.IsAbs(file) {
			in.addModule(file)
		}
	}
	for _, file := range flagFiles(g.Dir, flags) {
		in.Files[file] = Input{}
	}
	in, _ = in.refresh()
	in.recorded = false
	return in, nil
}

// KeepInputs keeps what Inputs found for the next run.
func (b Build) KeepInputs(in Inputs) error {
	if in.recorded {
		return nil
	}
	return disk.WriteRecord(b.inputsPath(), b.Temp, in)
}

func (b Build) inputsPath() string { return b.Folder + ".inputs.json" }

func inputsKey(b Build, env Env) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %q %q %q %q", env, b.Env, listFlags(b.Args), b.Mains))
	return fmt.Sprintf("%x", sum)
}

func (in *Inputs) add(p listed) {
	s := Source{ImportPath: p.ImportPath, Patterns: p.EmbedPatterns}
	if p.Module != nil {
		s.Module = p.Module.Path
		if p.Module.GoMod != "" {
			in.addModule(p.Module.GoMod)
		}
	}
	in.Packages[p.Dir] = s
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.CXXFiles, p.MFiles, p.HFiles,
		p.FFiles, p.SFiles, p.SwigFiles, p.SwigCXXFiles, p.SysoFiles) {
		in.Files[filepath.Join(p.Dir, name)] = Input{}
	}
	if p.DefaultPGO != "" {
		in.Files[p.DefaultPGO] = Input{Header: contentOnly}
	}
}

// addModule adds a go.mod or go.work, and what belongs to it.
func (in *Inputs) addModule(file string) {
	in.Files[file] = Input{}
	sum := file + ".sum" // go.work.sum
	if name, ok := strings.CutSuffix(file, ".mod"); ok {
		sum = name + ".sum"
	}
	in.Files[sum] = Input{}
	in.Files[filepath.Join(filepath.Dir(file), "vendor", "modules.txt")] = Input{}
}

// refresh looks again, and reports whether go would still list the same.
func (in Inputs) refresh() (Inputs, bool) {
	same := true
	now := Inputs{
		Files: make(map[string]Input, len(in.Files)), Packages: make(map[string]Source, len(in.Packages)),
		Cgo: in.Cgo, Key: in.Key, recorded: true,
	}
	for dir, s := range in.Packages {
		was := s
		s.look(dir)
		same = same && slices.Equal(s.Names, was.Names) && slices.Equal(s.Embedded, was.Embedded)
		now.Packages[dir] = s
		for _, name := range s.Embedded {
			if at := filepath.Join(dir, filepath.FromSlash(name)); in.Files[at] == (Input{}) {
				now.Files[at] = Input{identity(at), contentOnly}
			}
		}
	}
	for file, was := range in.Files {
		is := Input{identity(file), was.Header}
		now.recorded = now.recorded && is.Identity == was.Identity
		if is.Identity != was.Identity && is.Header != contentOnly {
			is.Header = header(file)
			same = same && is.Header != "" && is.Header == was.Header
		}
		now.Files[file] = is
	}
	return now, same
}

// Changed names the files that are no longer as they were, sorted: those that were
// written to, even if they are the same again, those that have gone, and new ones that
// go would compile. A file that is the same in known isn't looked at again; the others
// are added to it.
func (in Inputs) Changed(known map[string]Input) []string {
	var changed []string
	for file, was := range in.Files {
		if at, ok := known[file]; ok && at.Identity == was.Identity {
			continue
		}
		if identity(file) != was.Identity {
			changed = append(changed, file)
		}
		known[file] = was
	}
	for dir, s := range in.Packages {
		now := s
		now.look(dir)
		for _, name := range slices.Concat(missing(now.Names, s.Names), missing(now.Embedded, s.Embedded), missing(s.Names, now.Names)) {
			changed = append(changed, filepath.Join(dir, filepath.FromSlash(name)))
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed)
}

// missing are the elements of a that aren't in b.
func missing(a, b []string) []string {
	var list []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			list = append(list, s)
		}
	}
	return list
}

// look reads the names in the folder.
func (s *Source) look(dir string) {
	s.Names, s.Embedded = nil, nil
	entries, _ := os.ReadDir(dir) // nil of one that has gone
	for _, e := range entries {
		if name := e.Name(); compiled(name) {
			s.Names = append(s.Names, name)
		}
	}
	if len(s.Patterns) > 0 {
		s.Embedded = embedded(dir, s.Patterns)
	}
}

// compiled reports whether go would compile a file of that name, other than a test
// (go help packages, go/build's file lists).
func compiled(name string) bool {
	if name[0] == '.' || name[0] == '_' || strings.HasSuffix(name, "_test.go") {
		return false
	}
	switch filepath.Ext(name) {
	case ".go", ".s", ".S", ".sx", ".h", ".hh", ".hpp", ".hxx", ".c", ".cc", ".cpp", ".cxx", ".m", ".f", ".F", ".for", ".f90", ".swig", ".swigcxx", ".syso":
		return true
	}
	return name == "default.pgo"
}

// identity returns the identity of the file that path leads to.
func identity(path string) disk.Identity {
	id, err := disk.Identify(path)
	if errors.Is(err, os.ErrInvalid) { // a link, which go follows
		if path, err = filepath.EvalSymlinks(path); err == nil {
			id, _ = disk.Identify(path)
		}
	}
	return id
}

// header is a digest of what go list reads of a Go file: everything to the end of its
// imports, and the go:embed lines.
func header(path string) string {
	if filepath.Ext(path) != ".go" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, text, parser.ImportsOnly|parser.SkipObjectResolution)
	if err != nil {
		return ""
	}
	end := f.Name.End()
	if n := len(f.Decls); n > 0 {
		end = f.Decls[n-1].End()
	}
	sum := sha256.New()
	at := min(files.Position(end).Offset, len(text))
	sum.Write(text[:at])
	for line := range bytes.Lines(text[at:]) {
		if bytes.Contains(line, []byte("//go:embed")) {
			sum.Write(line)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12])
}

// embedded are the files in dir that go:embed patterns match (package embed,
// "Directives").
func embedded(dir string, patterns []string) []string {
	var found []string
	system := os.DirFS(dir)
	for _, pattern := range patterns {
		pattern, all := strings.CutPrefix(pattern, "all:")
		matches, _ := fs.Glob(system, pattern) // go itself reports a bad pattern
		for _, match := range matches {
			fs.WalkDir(system, match, func(p string, d fs.DirEntry, err error) error {
				switch name := path.Base(p); {
				case err != nil:
					return nil
				case p != match && !all && (name[0] == '.' || name[0] == '_'):
					if d.IsDir() {
						return fs.SkipDir
					}
				case d.IsDir() && p != ".":
					if _, err := fs.Stat(system, p+"/go.mod"); err == nil {
						return fs.SkipDir
					}
				case d.Type().IsRegular():
					found = append(found, p)
				}
				return nil
			})
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Embeds returns the import path of a package that embeds what is written to the
// folder target, or nothing. names are what is written there: path elements, which may
// be patterns.
func (in Inputs) Embeds(target string, names ...string) string {
	var found []string
	for dir, s := range in.Packages {
		rel, err := filepath.Rel(dir, target)
		if len(s.Patterns) == 0 || err != nil || !filepath.IsLocal(rel) {
			continue
		}
		for _, name := range names {
			at := strings.Split(filepath.ToSlash(filepath.Join(rel, name)), "/")
			if slices.ContainsFunc(s.Patterns, func(p string) bool { return takes(p, at) }) {
				found = append(found, s.ImportPath)
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Min(found)
}

// takes reports whether a go:embed pattern matches the path at, something
// above it, or what may be below it.
func takes(pattern string, at []string) bool {
	pattern, all := strings.CutPrefix(pattern, "all:")
	elements := strings.Split(path.Clean(pattern), "/")
	if elements[0] == "." {
		elements = nil
	}
	for i, e := range elements[:min(len(elements), len(at))] {
		if ok, err := path.Match(e, at[i]); err != nil || !ok {
			return false
		}
	}
	if len(elements) > len(at) {
		return true
	}
	hidden := func(name string) bool { return name[0] == '.' || name[0] == '_' }
	return all || !slices.ContainsFunc(at[len(elements):], hidden)
}
