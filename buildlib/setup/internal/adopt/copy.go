package adopt

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// copy follows COPY and ADD.
func (f *follower) copy(s *stage, i dockerfile.Instruction) {
	if i.Heredoc != "" {
		if s.image {
			f.lost(i, "write its text to a file of the project, and name that in Files.")
		}
		return
	}
	words := f.words(s, i)
	if len(words) < 2 {
		return
	}
	sources, dest := words[:len(words)-1], words[len(words)-1]
	into := len(sources) > 1 || strings.HasSuffix(dest, "/") || dest == "." || strings.HasSuffix(dest, "/.")
	dest = within(s.dir, dest)
	for _, source := range sources {
		from := i.Flags["from"]
		switch at := f.index(from, len(f.stages)-1); {
		case from == "":
			f.fromContext(s, i, source, dest, into)
		case at >= 0:
			f.fromStage(s, f.stages[at], i, source, dest, into)
		case s.image:
			f.lost(i, "files of another image: take it as Base, or copy the files into the project and name them in Files.")
		}
	}
}

// fromContext copies a file or folder of the project.
func (f *follower) fromContext(s *stage, i dockerfile.Instruction, source, dest string, into bool) {
	literal, ok := plain(source)
	rel := strings.TrimPrefix(path.Clean("/"+literal), "/")
	if rel == "" {
		rel = "."
	}
	at := path.Join(f.context, rel)
	name := path.Base(rel)
	if !s.image {
		if f.p.isFile(at) && into {
			dest = path.Join(dest, name)
		}
		s.copied = append(s.copied, mapping{dest, rel})
		return
	}
	if m := f.prebuilt[name]; m == nil && f.prebuilt == nil && !f.p.isFile(at) && !f.p.isDir(at) {
		if m = f.p.mainNamed(name); m != nil {
			f.place(i, &compiled{main: m}, join(dest, m.name, into))
			return
		}
	} else if m != nil {
		f.place(i, &compiled{main: m}, join(dest, name, into))
		return
	}
	switch {
	case strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "git@"):
		f.lost(i, "multimage downloads only bases: download it in a step of your own, and name the file in Files.")
	case i.Name == "ADD" && isArchive(rel):
		f.lost(i, "archives are not unpacked: unpack it in the project, and name the folder in Files.")
	case !ok:
		f.lost(i, "%s has no value here.", firstVariable(source))
	case strings.ContainsAny(rel, "*?[") && !strings.Contains(rel, "**") && !s.compiles:
		if into {
			dest = strings.TrimSuffix(dest, "/") + "/"
		}
		f.add(i, rel, dest)
	case strings.ContainsAny(rel, "*?["):
		f.lost(i, "name the files, or their folder, in Files.")
	case f.p.isDir(at) && holdsSource(f.p, rel) && s.compiles:
		f.lost(i, "it is source that is compiled. What the program reads when it runs goes into Files.")
	case f.p.isDir(at):
		f.add(i, rel, dest)
	default:
		if !f.p.isFile(at) {
			f.img.note("line %d: %s isn't there: if a step of yours makes it, run that first.", i.Line, rel)
		}
		f.add(i, rel, join(dest, name, into))
	}
}

// join is dest, or name in the folder dest.
func join(dest, name string, into bool) string {
	if into {
		return path.Join(dest, name)
	}
	return dest
}

func isArchive(name string) bool {
	suffixes := []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz"}
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// holdsSource reports whether a folder contains main packages of the project.
func holdsSource(p *project, rel string) bool {
	return slices.ContainsFunc(p.mains, func(m mainPackage) bool {
		return rel == "." || m.dir == rel || strings.HasPrefix(m.dir, rel+"/")
	})
}

// fromStage copies from another stage.
func (f *follower) fromStage(s, from *stage, i dockerfile.Instruction, source, dest string, into bool) {
	at := path.Clean("/" + source)
	literal, ok := plain(path.Base(at))
	inDest := func(found string) string {
		if found == at {
			return join(dest, path.Base(at), into)
		}
		return path.Join(dest, strings.TrimPrefix(found, at)) // of a folder
	}
	found := false
	for _, p := range slices.Sorted(maps.Keys(from.built)) { // the first binary becomes the entrypoint
		c := from.built[p]
		if p != at && !strings.HasPrefix(p, strings.TrimSuffix(at, "/")+"/") && !matches(at, p) {
			continue
		}
		found = true
		to := inDest(p)
		if matches(at, p) {
			to = join(dest, path.Base(p), into)
		}
		if s.built[to] = c; s.image {
			f.place(i, c, to)
		}
	}
	if !s.image {
		if rel, ok := from.source(at); ok && !found {
			s.copied = append(s.copied, mapping{dest, rel})
		}
		return
	}
	if found {
		return
	}
	rel, copied := from.source(at)
	m := f.p.mainNamed(literal)
	if only := f.p.onlyMain(); m == nil && only != nil && path.Ext(at) == "" && !f.placed() {
		m = only
	}
	switch {
	case strings.HasPrefix(at, "/etc/ssl/") || strings.HasPrefix(at, "/usr/share/ca-certificates") || strings.HasPrefix(at, "/etc/pki/"):
		f.img.CACerts = true
	case strings.Contains(at, "zoneinfo"):
		f.img.TZData = true
	case at == "/etc/passwd" || at == "/etc/group": // User makes them
	case at == "/tmp" && f.img.Base == "":
	case copied && (f.p.isDir(path.Join(f.context, rel)) || f.p.isFile(path.Join(f.context, rel))):
		if f.p.isFile(path.Join(f.context, rel)) {
			dest = join(dest, path.Base(at), into)
		}
		f.add(i, rel, dest)
	case m != nil && (ok || strings.HasPrefix(literal, m.executable())):
		f.img.note("line %d: %s is taken to be the program in ./%s.", i.Line, path.Join(path.Dir(at), literal), m.dir)
		f.place(i, &compiled{main: m}, join(dest, path.Base(at), into))
	default:
		f.lost(i, "setup can't tell how the stage makes it: make it in the project in a step of your own, and name it in Files.")
	}
}

func (f *follower) placed() bool { return len(f.img.Binaries) > 0 }

// matches reports whether pattern has wildcards, and matches p.
func matches(pattern, p string) bool {
	ok, err := path.Match(pattern, p)
	return err == nil && ok && strings.ContainsAny(pattern, "*?[")
}
