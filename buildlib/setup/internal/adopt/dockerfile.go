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

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// dockerfile makes an image from a Dockerfile, if one of the project's programs is in it.
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

// variant is the part of a Dockerfile's name that tells it apart: alpine in
// Dockerfile.alpine.
func variant(name string) string {
	base := strings.ToLower(path.Base(name))
	for _, word := range []string{"dockerfile", "containerfile"} {
		base = strings.ReplaceAll(base, word, "")
	}
	return strings.Trim(base, ".-")
}

// name is the image's name: the binary that the Dockerfile's name or folder names, else
// the first one.
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
	// The context is an argument of docker build. It is the Dockerfile's folder if that is
	// a module's, or has the files that are copied.
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

// reads reports whether folder has all that is copied from the context.
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
			f.img.note("line %d: --platform=%s is not carried over: each platform gets its own base.", from.From.Line, platform)
		}
	}
	for _, i := range from.Instructions {
		s.compiles = s.compiles || i.Name == "RUN" && goBuild.MatchString(i.Text+i.Heredoc)
	}
	for _, i := range from.Instructions {
		f.instruction(s, i)
	}
}

// finish sets what depends on the whole Dockerfile.
func (f *follower) finish() {
	img := f.img
	f.setUser()
	for _, o := range f.owners {
		user, group, _ := strings.Cut(o.name, ":")
		uid, ok := f.accounts.uid(user)
		gid, known := f.accounts.gid(group, user)
		if !ok || !known {
			f.lost(o.i, "the IDs of %s aren't known here: set UID and GID of the file.", o.name)
			continue
		}
		o.set(uid, gid)
	}
	first := ""
	if len(img.Binaries) > 0 {
		first = f.p.pathOf(img, img.Binaries[0])
	}
	switch {
	case img.Entrypoint == nil && img.Base == "": // and no base has one
		if img.Cmd != nil {
			img.Entrypoint = []string{}
		}
	case img.Entrypoint == nil:
		img.BaseCommand = true
	case len(img.Entrypoint) == 1 && img.Entrypoint[0] == first:
		img.Entrypoint = nil
	}
	if img.Base == "" { // scratch has both anyway
		img.CACerts, img.TZData = false, false
	}
	if len(img.Cmd) == 0 {
		img.Cmd = nil
	}
}

// setUser sets the image's user.
func (f *follower) setUser() {
	if f.user == "" {
		return
	}
	text, ok := plain(f.user)
	if !ok {
		f.img.note("USER %s has no value here: set User.", text)
		return
	}
	name, group, _ := strings.Cut(text, ":")
	u := &f.img.User
	if a, ok := f.accounts.find(name); ok {
		*u = a.User
		if u.UID == 0 {
			f.img.note("User gets the first free UID from 1000: set UID if volumes belong to another.")
		}
		if gid, ok := f.accounts.gid(group, a.Name); ok && gid != u.UID {
			u.GID = gid
		}
		return
	}
	uid, err := strconv.Atoi(name)
	switch {
	case name == "root" || err == nil && uid == 0:
		u.Name = "root"
	case err == nil:
		u.UID = uid
		if gid, err := strconv.Atoi(group); err == nil {
			u.GID = gid
		}
	default:
		u.Name = name // the base's
		if _, err := strconv.Atoi(group); err == nil {
			f.img.note("USER %s: the group is %s's in the base.", text, name)
		}
	}
}
