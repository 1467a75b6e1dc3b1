package adopt

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// follower follows a Dockerfile: stages that compile tell where programs come
// from, and the last one, with those that it stands on, becomes an image.
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
	shell    []string // that runs a CMD or ENTRYPOINT without brackets
	owners   []owner
}

// stage is what a stage holds after its instructions so far.
type stage struct {
	dir    string               // WORKDIR
	vars   map[string]string    // ARG and ENV
	copied []mapping            // from the context
	built  map[string]*compiled // by path
	image  bool                 // whether it goes into the image
	cmdSet bool
	// compiles is set if programs are built in the stage itself.
	compiles bool
}

// mapping is a file or folder of the project at a path of a stage.
type mapping struct{ at, source string }

// owner is a name that owns a file, which may become known further down.
type owner struct {
	set  func(uid, gid int)
	name string
	i    dockerfile.Instruction
}

// dockerfile makes an image of a Dockerfile, if there is a program of the
// project's in it.
func (p *project) dockerfile(name string) error {
	f, err := p.follow(name, nil)
	if err != nil {
		return err
	}
	if len(f.img.Binaries) == 0 {
		p.note("%s is left out: none of this project's programs was found in its last stage.", name)
		return nil
	}
	f.img.Name = f.name(name)
	p.add(f.img, variant(name))
	return nil
}

// variant is what a Dockerfile's own name says of it: alpine of Dockerfile.alpine.
func variant(name string) string {
	base := strings.ToLower(path.Base(name))
	for _, word := range []string{"dockerfile", "containerfile"} {
		base = strings.ReplaceAll(base, word, "")
	}
	return strings.Trim(base, ".-")
}

// name is the image's: that of the main package that the Dockerfile's name or
// folder names, else of its first binary.
func (f *follower) name(file string) string {
	for _, name := range []string{variant(file), path.Base(path.Dir(file))} {
		if slices.Contains(f.img.Binaries, name) {
			return name
		}
	}
	return strings.ToLower(f.img.Binaries[0])
}

func (p *project) follow(name string, prebuilt map[string]*mainPackage) (*follower, error) {
	data, err := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	f := &follower{p: p, img: &image{from: name}, prebuilt: prebuilt, context: ".", shell: []string{"/bin/sh", "-c"}}
	if f.file, err = dockerfile.Parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// docker build is told the folder: it is the module's, or has what is copied.
	if folder := path.Dir(name); prebuilt == nil && (p.isFile(path.Join(folder, "go.mod")) || !f.reads(".")) && f.reads(folder) {
		f.context = folder
	}
	wanted := map[int]bool{}
	for at := len(f.file.Stages) - 1; at >= 0; {
		wanted[at] = true
		at = f.index(f.file.Stages[at].From.Text, at)
	}
	for at, s := range f.file.Stages {
		f.stage(at, s, wanted[at])
	}
	f.finish()
	return f, nil
}

// reads reports whether all that is copied from the context is in folder.
func (f *follower) reads(folder string) bool {
	for _, s := range f.file.Stages {
		for _, i := range s.Instructions {
			if i.Name != "COPY" || i.Flags["from"] != "" || strings.Contains(i.Text, "<<") {
				continue
			}
			words := f.words(&stage{}, i)
			for _, source := range words[:max(0, len(words)-1)] {
				at := path.Join(folder, source)
				if !strings.ContainsAny(source, "*?[$") && !f.p.isDir(at) && !f.p.isFile(at) {
					return false
				}
			}
		}
	}
	return true
}

// index is the number of the stage called name, of those before one; -1: none.
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

// lexer replaces the variables of a stage.
func (f *follower) lexer(s *stage) dockerfile.Lexer {
	return dockerfile.Lexer{Escape: f.file.Escape, Lookup: func(name string) string {
		if value, ok := s.vars[name]; ok {
			return value
		}
		if value, ok := known(name); ok && (name[0] == '(' || strings.HasPrefix(name, "TARGET")) {
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

func (f *follower) stage(at int, from dockerfile.Stage, wanted bool) {
	s := &stage{dir: "/", vars: map[string]string{}, built: map[string]*compiled{}, image: wanted}
	f.stages = append(f.stages, s)
	if parent := f.index(from.From.Text, at); parent >= 0 {
		p := f.stages[parent]
		s.dir, s.vars, s.built, s.copied = p.dir, maps.Clone(p.vars), maps.Clone(p.built), slices.Clone(p.copied)
	} else if wanted {
		global := &stage{vars: map[string]string{}}
		for _, i := range f.file.Args {
			name, value, _ := strings.Cut(f.lexer(global).Value(i.Text), "=")
			global.vars[name] = value
		}
		base, ok := plain(f.lexer(global).Value(from.From.Text))
		if f.img.Base = base; base == "scratch" {
			f.img.Base = ""
		}
		if !ok {
			f.img.note("line %d: FROM names a variable without a value: set Base.", from.From.Line)
		}
		if platform := from.From.Flags["platform"]; platform != "" && !strings.Contains(platform, "$") {
			f.img.note("line %d: --platform=%s is not carried over: each platform gets the base of its own.", from.From.Line, platform)
		}
	}
	for _, i := range from.Instructions {
		s.compiles = s.compiles || i.Name == "RUN" && goBuild.MatchString(i.Text+i.Heredoc)
	}
	for _, i := range from.Instructions {
		f.instruction(s, i)
	}
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

// text is a value for a field that is a template.
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

// finish settles what only the whole Dockerfile tells.
func (f *follower) finish() {
	img := f.img
	f.setUser()
	for _, o := range f.owners {
		user, group, _ := strings.Cut(o.name, ":")
		uid, ok := f.accounts.uid(user)
		gid, known := f.accounts.gid(group, user)
		if !ok || !known {
			f.lost(o.i, "the number of %s isn't known here: set UID and GID of the file.", o.name)
			continue
		}
		o.set(uid, gid)
	}
	first := ""
	if len(img.Binaries) > 0 {
		first = f.p.pathOf(img, img.Binaries[0])
	}
	switch {
	case img.Entrypoint == nil && img.Base == "": // there is none of a base
		if img.Cmd != nil {
			img.Entrypoint = []string{}
		}
	case img.Entrypoint == nil:
		img.BaseCommand = true
	case len(img.Entrypoint) == 1 && img.Entrypoint[0] == first:
		img.Entrypoint = nil
	}
	if img.Base == "" { // which has both anyway
		img.CACerts, img.TZData = false, false
	}
	if slices.Equal(img.Cmd, []string{}) {
		img.Cmd = nil
	}
}

// pathOf is where a binary is in an image.
func (p *project) pathOf(img *image, name string) string {
	for _, m := range p.mains {
		if m.binary != nil && m.binary.Name == name && m.binary.Path != "" {
			return m.binary.Path
		}
	}
	dir := img.BinDir
	if dir == "" {
		dir = "/usr/local/bin"
	}
	return path.Join(dir, name)
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
		f.lost(i, "binary %s has the path %s in another image already.", b.Name, b.Path)
	}
	b.Mode = f.chmod(i)
	if chown := i.Flags["chown"]; chown != "" {
		f.owners = append(f.owners, owner{func(uid, gid int) { b.UID, b.GID = uid, gid }, chown, i})
	}
}

// chmod is the mode that an instruction gives to what it copies, or zero.
func (f *follower) chmod(i dockerfile.Instruction) os.FileMode {
	mode := i.Flags["chmod"]
	if mode == "" {
		return 0
	}
	n, err := strconv.ParseUint(mode, 8, 12)
	if err != nil {
		f.lost(i, "--chmod=%s is no number: set Mode.", mode)
	}
	return os.FileMode(n)
}

// own gives what Files has at an index an owner.
func (f *follower) own(file int, name string, i dockerfile.Instruction) {
	img := f.img
	f.owners = append(f.owners, owner{func(uid, gid int) { img.Files[file].UID, img.Files[file].GID = uid, gid }, name, i})
}

// add puts a file or folder of the context at a path of the image.
func (f *follower) add(i dockerfile.Instruction, source, at string) {
	f.img.Files = append(f.img.Files, buildlib.File{Source: path.Join(f.context, source), Path: at, Mode: f.chmod(i)})
	if chown := i.Flags["chown"]; chown != "" {
		f.own(len(f.img.Files)-1, chown, i)
	}
}
