package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

var goBuild = regexp.MustCompile(`\b(?:go|xx-go) (?:-C \S+ )?(?:build|install)\b`)

// needless are commands that don't change the files of an image, or whose effect
// multimage's images have anyway.
var needless = []string{"set", "true", "echo", "rm", "apt-get update", "apt-get clean", "apt update", "apt clean", "apk update", "apk cache", "update-ca-certificates", "go mod", "go version", "go env", "go vet", "go test", "chmod", "cd", "ls", "export", "test", "[", "sync"}

// script matches a RUN whose here-document is a script for a shell, and not another
// command's input.
var script = regexp.MustCompile(`^(?:(?:\S*/)?[a-z]*sh\b[^<]*)?<<`)

// run follows RUN: in any stage what it compiles, in the image's also what it sets up.
func (f *follower) run(s *stage, i dockerfile.Instruction) {
	text := i.Text
	if script.MatchString(text) {
		text = i.Heredoc
	}
	commands := f.lexer(s).Commands(text)
	if list, ok := i.List(); ok {
		commands = [][]string{list}
	}
	dir := s.dir
	var lost []string
	for _, words := range commands {
		var env []string
		for len(words) > 0 && strings.Contains(words[0], "=") && !strings.HasPrefix(words[0], "-") {
			env, words = append(env, words[0]), words[1:]
		}
		if len(words) == 0 {
			continue
		}
		if words[0] == "cd" && len(words) > 1 {
			dir = within(dir, words[1])
		}
		switch {
		case (words[0] == "go" || words[0] == "xx-go") && len(words) > 1 && goBuild.MatchString(strings.Join(words, " ")):
			f.goBuild(s, i, dir, env, words)
		case f.accounts.command(words): // also in stages from which only /etc/passwd is copied
		case !s.image || isNeedless(words):
		case f.packages(i, words):
		case words[0] == "mkdir":
			for _, name := range words[1:] {
				if name = within(dir, name); !strings.HasPrefix(path.Base(name), "-") {
					f.folder(name)
				}
			}
		case words[0] == "chown" && f.chown(i, dir, words):
		default:
			text, _ := plain(strings.Join(words, " "))
			lost = append(lost, shorten(text))
		}
	}
	if len(lost) > 0 {
		f.img.note("line %d: RUN %s is not carried over: multimage runs nothing in an image. Put what it makes into Files, or use a base of your own that has it.", i.Line, strings.Join(lost, "; "))
	}
}

// within is name relative to dir, unless it is absolute.
func within(dir, name string) string {
	if strings.HasPrefix(name, "/") {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

func isNeedless(words []string) bool {
	return slices.Contains(needless, words[0]) || len(words) > 1 && slices.Contains(needless, words[0]+" "+words[1])
}

// installers matches commands that install packages, up to the names of these.
var installers = regexp.MustCompile(`^(?:apk (?:\S+ )*?add|(?:apt-get|apt|microdnf|dnf|yum) (?:-\S+ )*install) `)

// packages executes a command that installs packages, and reports whether it is one.
func (f *follower) packages(i dockerfile.Instruction, words []string) bool {
	text := strings.Join(words, " ") + " "
	found := installers.FindString(text)
	if found == "" {
		return false
	}
	rest := strings.Fields(text[len(found):])
	for n := 0; n < len(rest); n++ {
		name, _, _ := strings.Cut(rest[n], "=")
		switch {
		case rest[n] == "-t" || rest[n] == "--virtual" || rest[n] == "--repository" || rest[n] == "-X":
			n++
		case strings.HasPrefix(rest[n], "-"):
		case strings.HasPrefix(name, "ca-certificates"):
			f.img.CACerts = true
		case name == "tzdata":
			f.img.TZData = true
		default:
			if name, _ = plain(rest[n]); strings.ContainsAny(name, "~<>") {
				name = strings.TrimRight(name[:strings.IndexAny(name, "~<>")], "=")
				f.img.note("line %d: the range of %s is not carried over: multimage.lock has one version.", i.Line, rest[n])
			}
			if !slices.Contains(f.img.Packages, name) {
				f.img.Packages = append(f.img.Packages, name)
			}
		}
	}
	return true
}

// folder adds a folder to Files.
func (f *follower) folder(at string) {
	name, ok := template(at)
	if ok && !slices.ContainsFunc(f.img.Files, func(file buildlib.File) bool { return file.Path == name }) {
		f.img.Files = append(f.img.Files, buildlib.File{Path: name})
	}
}

// chown sets the owners of folders that were created and files that were copied, and
// reports whether it could.
func (f *follower) chown(i dockerfile.Instruction, dir string, words []string) bool {
	var args []string
	for _, word := range words[1:] {
		if !strings.HasPrefix(word, "-") {
			args = append(args, word)
		}
	}
	if len(args) < 2 {
		return false
	}
	for _, name := range args[1:] {
		name, _ = template(within(dir, name))
		at := slices.IndexFunc(f.img.Files, func(file buildlib.File) bool { return path.Clean(file.Path) == name })
		switch {
		case at >= 0:
			f.setOwner(at, args[0], i)
		case name != f.img.WorkDir && !slices.Contains(f.img.Volumes, name): // which belong to the user anyway
			return false
		}
	}
	return true
}

// goFlags are the flags of go build that have a value.
var goFlags = []string{"o", "ldflags", "tags", "mod", "installsuffix", "gcflags", "asmflags", "p", "C", "pkgdir", "overlay", "buildmode", "compiler", "pgo", "modfile"}

// goBuild records which programs a go build or go install makes, where, and how.
func (f *follower) goBuild(s *stage, i dockerfile.Instruction, dir string, env, words []string) {
	flags := map[string]string{}
	var patterns []string
	installs := false
	for n := 1; n < len(words); n++ {
		word := words[n]
		if !strings.HasPrefix(word, "-") {
			if n == 1 || flags["C"] != "" && n == 3 {
				installs = word == "install"
			} else {
				patterns = append(patterns, word)
			}
			continue
		}
		name, value, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !joined && slices.Contains(goFlags, name) && n+1 < len(words) {
			n++
			value = words[n]
		}
		flags[name] = value
	}
	if flags["C"] != "" {
		dir = within(dir, flags["C"])
	}
	made := compiled{}
	made.build.Ldflags = f.ldflags(i, flags["ldflags"])
	if flags["tags"] != "" {
		made.build.Tags = strings.FieldsFunc(flags["tags"], func(c rune) bool { return c == ',' || c == ' ' })
	}
	for _, variable := range env {
		if strings.HasPrefix(variable, "GOEXPERIMENT=") || strings.HasPrefix(variable, "GOFIPS140=") {
			made.build.Env = append(made.build.Env, variable)
		}
		if variable == "CGO_ENABLED=1" {
			f.img.note("line %d: CGO_ENABLED=1 is not carried over: name C compilers in Go.CGO for that.", i.Line)
		}
	}
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	var mains []*mainPackage
	for _, pattern := range patterns {
		mains = append(mains, f.matching(s, dir, pattern)...)
	}
	out := flags["o"]
	for _, m := range mains {
		c := made
		c.main = m
		at := path.Join(within(dir, out), m.name)
		switch {
		case installs && s.vars["GOBIN"] != "":
			at = path.Join(s.vars["GOBIN"], m.name)
		case installs:
			at = "/go/bin/" + m.name
		case out != "" && len(mains) == 1 && !strings.HasSuffix(out, "/") && out != ".":
			at = within(dir, out)
		}
		if s.built[at] = &c; s.image {
			f.place(i, &c, at)
		}
	}
}

// matching returns the project's main packages that match a pattern of go build in a
// folder of the stage.
func (f *follower) matching(s *stage, dir, pattern string) []*mainPackage {
	if strings.HasSuffix(pattern, ".go") {
		pattern = path.Dir(pattern)
	}
	root, all := strings.CutSuffix(pattern, "...")
	var found []*mainPackage
	for n := range f.p.mains {
		m := &f.p.mains[n]
		rel, ok := s.source(within(dir, root))
		if !ok && strings.HasPrefix(within(dir, root), dir) { // it is unknown what was copied there
			rel, ok = strings.Trim(strings.TrimPrefix(within(dir, root), dir), "/"), true
		}
		rel = path.Join(f.context, rel)
		switch {
		case m.importPath == pattern, ok && m.dir == rel:
		case all && ok && (rel == "." || strings.HasPrefix(m.dir, rel+"/")) && !m.auxiliary():
		default:
			continue
		}
		found = append(found, m)
	}
	return found
}

// ldflags are the linker's arguments without those that static linking makes needless.
func (f *follower) ldflags(i dockerfile.Instruction, flags string) string {
	flags = strings.Join(strings.Fields(flags), " ")
	flags = strings.TrimSpace(externalStatic.ReplaceAllString(flags, ""))
	text, ok := template(flags)
	if !ok {
		f.img.note("line %d: %s in -ldflags has no value here: replace it in Ldflags.", i.Line, firstVariable(flags))
	}
	return text
}

// externalStatic matches arguments that link programs with cgo statically.
var externalStatic = regexp.MustCompile(`-linkmode[ =]external|-extldflags[ =](?:"[^"]*"|'[^']*'|\S+)`)
