package adopt

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// follower follows a Dockerfile: stages that compile tell where programs come from, and
// the last stage, with those that it is based on, becomes an image.
type follower struct {
	p       *project
	file    dockerfile.File
	context string // the folder that COPY reads, relative to the project
	img     *image
	// prebuilt are main packages by the name of the executable that another
	// tool puts into the context.
	prebuilt map[string]*mainPackage
	stages   []*stage
	accounts accounts
	user     string   // of the last USER
	shell    []string // runs the shell form of CMD and ENTRYPOINT
	owners   []owner
}

// stage is the state of a stage after some of its instructions.
type stage struct {
	dir    string               // WORKDIR
	vars   map[string]string    // ARG and ENV
	copied []mapping            // from the context
	built  map[string]*compiled // by path
	image  bool                 // whether it is part of the image
	cmdSet bool
	// compiles reports whether the stage itself builds programs.
	compiles bool
}

// mapping is a file or folder of the project at a path of a stage.
type mapping struct{ at, source string }

// owner is the owner of a file by name, whose IDs a later instruction may tell.
type owner struct {
	set  func(uid, gid int)
	name string
	i    dockerfile.Instruction
}

// compiled is a program that go build made, and how.
type compiled struct {
	main  *mainPackage
	build buildlib.GoBuild
}

// use makes the program one of the project's binaries.
func (c *compiled) use(p *project) *buildlib.Binary {
	b := c.main.use()
	if c.build.Ldflags != "" {
		b.Go.Ldflags = c.build.Ldflags
	}
	if c.build.Tags != nil {
		b.Go.Tags = c.build.Tags
	}
	if c.build.Env != nil {
		b.Go.Env = c.build.Env
	}
	return b
}

// index returns the index of the stage with the name, or number, among those before
// another; -1 if there is none.
func (f *follower) index(name string, before int) int {
	if n, err := strconv.Atoi(name); err == nil && n < before {
		return n
	}
	for at := before - 1; at >= 0; at-- {
		if f.file.Stages[at].Name == strings.ToLower(name) {
			return at
		}
	}
	return -1
}

// lexer returns a lexer that replaces the variables of a stage.
func (f *follower) lexer(s *stage) dockerfile.Lexer {
	return dockerfile.Lexer{Escape: f.file.Escape, Lookup: func(name string) string {
		if value, ok := s.vars[name]; ok {
			return value
		}
		if value, ok := factFor(name); ok && (name[0] == '(' || strings.HasPrefix(name, "TARGET")) {
			return value
		}
		return unset(name)
	}}
}

func (f *follower) words(s *stage, i dockerfile.Instruction) []string {
	if list, ok := i.List(); ok {
		return list
	}
	return f.lexer(s).Words(i.Text)
}

// lost notes an instruction that isn't carried over.
func (f *follower) lost(i dockerfile.Instruction, why string, args ...any) {
	f.img.note("line %d: %s is not carried over: %s", i.Line, shorten(i.String()), fmt.Sprintf(why, args...))
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:57]) + "..."
	}
	return text
}

// text converts a value for a field that is a template.
func (f *follower) text(i dockerfile.Instruction, value string) (string, bool) {
	t, ok := template(value)
	if !ok {
		f.lost(i, "%s has no value here.", firstVariable(value))
	}
	return t, ok
}

func firstVariable(value string) string {
	_, rest, _ := strings.Cut(value, dockerfile.Unset)
	name, _, _ := strings.Cut(rest, closing)
	return "$" + name
}

// pathOf is the path of a binary in an image.
func (p *project) pathOf(img *image, name string) string {
	for _, m := range p.mains {
		if m.binary != nil && m.binary.Name == name && m.binary.Path != "" {
			return m.binary.Path
		}
	}
	return path.Join(cmp.Or(img.BinDir, "/usr/local/bin"), name)
}

// place puts a program at a path of the image.
func (f *follower) place(i dockerfile.Instruction, c *compiled, at string) {
	b := c.use(f.p)
	img := f.img
	if !slices.Contains(img.Binaries, b.Name) {
		img.Binaries = append(img.Binaries, b.Name)
	}
	dir, name := path.Split(at)
	dir = path.Clean(dir)
	switch {
	case name == b.Name && (img.BinDir == "" || img.BinDir == dir):
		img.BinDir = dir
	case b.Path == "":
		b.Path = at
	case b.Path != at:
		f.lost(i, "binary %s already has the path %s in another image.", b.Name, b.Path)
	}
	b.Mode = f.chmod(i)
	if chown := i.Flags["chown"]; chown != "" {
		f.owners = append(f.owners, owner{func(uid, gid int) { b.UID, b.GID = uid, gid }, chown, i})
	}
}

// chmod is the mode that an instruction sets, or zero.
func (f *follower) chmod(i dockerfile.Instruction) os.FileMode {
	mode := i.Flags["chmod"]
	if mode == "" {
		return 0
	}
	n, err := strconv.ParseUint(mode, 8, 12)
	if err != nil {
		f.lost(i, "--chmod=%s is not an octal number: set Mode.", mode)
	}
	return os.FileMode(n)
}

// setOwner sets the owner of the element of Files at an index.
func (f *follower) setOwner(file int, name string, i dockerfile.Instruction) {
	img := f.img
	f.owners = append(f.owners, owner{func(uid, gid int) { img.Files[file].UID, img.Files[file].GID = uid, gid }, name, i})
}

// add puts a file or folder of the context at a path of the image.
func (f *follower) add(i dockerfile.Instruction, source, at string) {
	f.img.Files = append(f.img.Files, buildlib.File{Source: path.Join(f.context, source), Path: at, Mode: f.chmod(i)})
	if chown := i.Flags["chown"]; chown != "" {
		f.setOwner(len(f.img.Files)-1, chown, i)
	}
}

// source is the path in the context that was copied to a path of the stage.
func (s *stage) source(at string) (string, bool) {
	for n := len(s.copied) - 1; n >= 0; n-- {
		m := s.copied[n]
		if at == m.at {
			return m.source, true
		}
		if rest, ok := strings.CutPrefix(at, strings.TrimSuffix(m.at, "/")+"/"); ok {
			return path.Join(m.source, rest), true
		}
	}
	return "", false
}
