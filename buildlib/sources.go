package buildlib

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// absent is a File's Source that isn't there. It may be made by a step of the
// project that has yet to run, and that those who only share out the work, or
// join what others made, never run: so it is a mistake for the stages that read
// it, or among other mistakes, and else none.
type absent struct {
	field  string // of the Project
	source string // as the field has it
	dir    string // the project's
	rel    string // source, relative to dir
}

func (a *absent) Error() string {
	return fmt.Sprintf("%s: %q: no such file or folder in %s: correct it, or make it first", a.field, a.source, a.dir)
}

// source checks a file's source and returns it relative to the project.
func (r *resolver) source(field, source string) string {
	at := source
	if !filepath.IsAbs(at) {
		at = filepath.Join(r.plan.Dir, at)
	}
	rel, err := filepath.Rel(r.plan.Dir, at)
	if err != nil || !filepath.IsLocal(rel) {
		r.mistake(field, "%q leaves the project: files come from below %s", source, r.plan.Dir)
		return source
	}
	root, err := os.OpenRoot(r.plan.Dir)
	if err != nil {
		r.check(field, err)
		return source
	}
	defer root.Close()
	switch _, err := root.Stat(rel); {
	case errors.Is(err, fs.ErrNotExist):
		r.note(&absent{field: field, source: source, dir: r.plan.Dir, rel: rel})
	case err != nil:
		r.mistake(field, "%q can't be read, or leaves the project through a link: copy what it leads to into %s: %w", source, r.plan.Dir, err)
	}
	return filepath.ToSlash(rel)
}

// allowAbsent moves mistakes to the plan if absent sources are all there is.
func (r *resolver) allowAbsent() {
	var list []*absent
	for _, err := range r.mistakes {
		a, ok := errors.AsType[*absent](err)
		if !ok {
			return
		}
		list = append(list, a)
	}
	r.plan.absent, r.mistakes = list, nil
}

// hasSources is an error if a file that images are made of isn't there by now.
func (p *Plan) hasSources() error {
	var missing []error
	for _, a := range p.absent {
		root, err := os.OpenRoot(a.dir)
		if err != nil {
			return err
		}
		if _, err := root.Stat(a.rel); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, a)
		} else if err != nil {
			missing = append(missing, fmt.Errorf("%s: %q: %w", a.field, a.source, err))
		}
		root.Close()
	}
	return errors.Join(missing...)
}
