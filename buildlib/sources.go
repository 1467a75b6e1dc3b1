package buildlib

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// absent is the error for a source that doesn't exist.
type absent struct {
	AbsentSource
	dir string
}

func (a *absent) Error() string {
	return fmt.Sprintf("%s: %q: no such file or folder in %s: correct it, or make it first", a.Field, a.Source, a.dir)
}

// source checks the source of a file with the path in the image, and returns it relative
// to the project.
func (r *resolver) source(field, source, path string) string {
	rel, err := filepath.Rel(r.plan.Dir, absolute(r.plan.Dir, source))
	if err != nil || !filepath.IsLocal(rel) {
		r.mistake(field, "%q leaves the project: files come from below %s", source, r.plan.Dir)
		return source
	}
	ignore, err := r.plan.ignore(r.plan.Cache)
	if err != nil {
		r.note(err)
		return source
	}
	if err := ignore.Check(r.plan.Dir, rel); err != nil {
		r.mistake(field, "%q %w", source, err)
		return source
	}
	r.plan.Ignored = ignored(r.plan.Dir, ignore)
	root, err := os.OpenRoot(r.plan.Dir)
	if err != nil {
		r.check(field, err)
		return source
	}
	defer root.Close()
	list, isPattern, err := ignore.Glob(root, rel)
	excluding := ""
	if !isPattern {
		var info fs.FileInfo
		info, err = root.Stat(rel)
		excluding = ignore.Excluded(filepath.ToSlash(rel), err == nil && info.IsDir())
	}
	switch {
	case excluding != "":
		r.mistake(field, "%q is excluded by %q in .dockerignore: change that, or add !%s after it", source, excluding, filepath.ToSlash(rel))
	case errors.Is(err, fs.ErrNotExist):
		r.note(&absent{AbsentSource{Field: field, Source: source, Path: rel}, r.plan.Dir})
	case err != nil && isPattern:
		r.mistake(field, "%q %w", source, err)
	case err != nil:
		r.mistake(field, "%q can't be read, or leaves the project through a link: copy its target into %s: %w", source, r.plan.Dir, err)
	case len(list) > 1 && !strings.HasSuffix(path, "/"):
		r.mistake(field, "%q %w", source, rootfs.ManyInOne(list, path))
	}
	return filepath.ToSlash(rel)
}

// allowAbsent moves the mistakes to the plan if all of them are absent sources.
func (r *resolver) allowAbsent() {
	var list []AbsentSource
	for _, err := range r.mistakes {
		a, ok := errors.AsType[*absent](err)
		if !ok {
			return
		}
		list = append(list, a.AbsentSource)
	}
	r.plan.Absent, r.mistakes = list, nil
}

// hasSources returns an error if sources that were absent still don't exist.
func (p *Plan) hasSources() error {
	if len(p.Absent) == 0 {
		return nil
	}
	ignore, err := p.ignore(p.Cache)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var missing []error
	for _, a := range p.Absent {
		_, pattern, err := ignore.Glob(root, a.Path)
		if !pattern {
			_, err = root.Stat(a.Path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, &absent{a, p.Dir})
		} else if err != nil {
			missing = append(missing, fmt.Errorf("%s: %q: %w", a.Field, a.Source, err))
		}
	}
	return errors.Join(missing...)
}

// dockerignore is the file whose patterns exclude files from images, as in Docker
// (docs.docker.com, "Build context", .dockerignore files).
const dockerignore = ".dockerignore"

// ignore returns what Files leave out: Output, the cache, and what .dockerignore
// excludes.
func (p *Plan) ignore(cache string) (rootfs.Ignore, error) {
	output := p.Output
	if rel, err := filepath.Rel(p.Dir, output); err == nil && filepath.IsLocal(rel) {
		output = filepath.ToSlash(rel)
	}
	g := rootfs.Ignore{Folders: []rootfs.Folder{{Path: p.Output, Name: "the Output " + output}, {Path: cache, Name: "the cache " + cache}}}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return g, err
	}
	defer root.Close()
	info, err := root.Stat(dockerignore)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return g, nil
	case err != nil:
		return g, fmt.Errorf("%s: %w", dockerignore, err)
	case !info.Mode().IsRegular() || info.Size() > 1<<20:
		return g, fmt.Errorf("%s: is not a file of at most a megabyte", dockerignore)
	}
	text, err := root.ReadFile(dockerignore)
	if err != nil {
		return g, fmt.Errorf("%s: %w", dockerignore, err)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 { // it would silently exclude nothing
		return g, fmt.Errorf("%s: is not UTF-8 text: save it as UTF-8", dockerignore)
	}
	if g.Patterns, err = ignorefile.ReadAll(bytes.NewReader(text)); err != nil {
		return g, fmt.Errorf("%s: %w", dockerignore, err)
	}
	for _, pattern := range g.Patterns {
		if _, err := patternmatcher.New([]string{pattern}); err != nil {
			return g, fmt.Errorf("%s: %q: %w", dockerignore, pattern, err)
		}
	}
	return g, nil
}

// ignored describes what Files leave out of the project in dir.
func ignored(dir string, g rootfs.Ignore) []string {
	list := []string{".git", ".multimage"}
	for _, f := range g.Folders {
		if rel, err := filepath.Rel(dir, f.Path); err == nil && filepath.IsLocal(rel) {
			list = append(list, filepath.ToSlash(rel))
		}
	}
	if len(g.Patterns) > 0 {
		list = append(list, "what "+dockerignore+" excludes")
	}
	return list
}
