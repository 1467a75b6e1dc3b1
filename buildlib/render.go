package buildlib

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Published is a published image as the templates of Render see it.
type Published struct {
	Name       string
	Repository string // the first one that it was published to
	Tag        string // the first; empty if it has none
	Digest     string // what Tag points to: the index, or the only platform's image
	Ref        string // REPOSITORY@DIGEST, which pulls exactly this image
}

// published returns the published images by name.
func published(all []ImageResult) map[string]Published {
	byName := map[string]Published{}
	for _, r := range all {
		tags := r.allTags()
		if len(r.Refs) == 0 {
			continue
		}
		p := Published{Name: r.Name, Repository: r.Refs[0].Repository, Digest: r.Refs[0].Digest.String(), Ref: r.Refs[0].String()}
		if len(tags) > 0 {
			p.Tag = tags[0]
		}
		byName[r.Name] = p
	}
	return byName
}

const templateLimit = 1 << 20 // bytes

// renderings reads the templates of Render. Each is executed once as if all images were
// published, so that mistakes are found before work starts.
func (r *resolver) renderings() {
	owner := map[string]string{}
	for i, file := range r.project.Render {
		field := fmt.Sprintf("Render[%d]", i)
		out, ok := r.renderOutput(field+".Output", file.Output)
		if ok {
			if other, twice := owner[out]; twice {
				r.mistake(field+".Output", "%q is also written by %s: name another file", file.Output, other)
			} else {
				owner[out] = field
			}
		}
		text, err := readTemplate(r.plan.Dir, file.Template)
		if err != nil {
			r.mistake(field+".Template", "%q: %w", file.Template, err)
			continue
		}
		rendering := Rendering{Template: file.Template, Text: text, Output: out, Facts: r.facts}
		if r.unsure || len(r.plan.ImagePlans) == 0 && len(r.mistakes) > 0 {
			continue // an image may be missing because of another mistake
		}
		if _, err := rendering.execute(r.plan.placeholders(), r.plan.Limits.Images); err != nil && !errors.Is(err, errLeftOut) {
			r.mistake(field+".Template", "%w", err)
		}
		r.plan.Render = append(r.plan.Render, rendering)
	}
	for out, field := range owner {
		for dir := filepath.Dir(out); disk.Inside(dir, r.plan.Output); dir = filepath.Dir(dir) {
			if other, both := owner[dir]; both {
				r.mistake(field+".Output", "%s writes a file where this one has a folder: name another", other)
			}
		}
	}
}

// renderOutput returns the absolute path of a rendered file. It has to be in Output, and
// may not be where builds write.
func (r *resolver) renderOutput(field, path string) (string, bool) {
	if r.badTemplates[field] {
		return "", false
	}
	folder := filepath.Clean(cmp.Or(r.project.Output, "dist")) // which Overrides.Output replaces
	example := filepath.ToSlash(filepath.Join(folder, "deploy", filepath.Base(cmp.Or(path, "values.yaml"))))
	if path == "" {
		r.mistake(field, "it is empty: name a file in Output, like %s", example)
		return "", false
	}
	rel, err := filepath.Rel(folder, filepath.Clean(filepath.FromSlash(path)))
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		r.mistake(field, "%q is not in %s, where all results go: write %s", path, filepath.ToSlash(folder), example)
		return "", false
	}
	if strings.ContainsAny(rel, "\r\n") || os.IsPathSeparator(path[len(path)-1]) {
		r.mistake(field, "%q is not the name of a file: name one, like %s", path, example)
		return "", false
	}
	top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	for _, taken := range append([]string{".gitignore", ".git", ".multimage", "images.json"}, outputs...) {
		if strings.EqualFold(top, taken) { // some file systems ignore case
			r.mistake(field, "%q is in the way of %s, which builds write: name another file, like %s", path, taken, example)
			return "", false
		}
	}
	return filepath.Join(r.plan.Output, rel), true
}

// readTemplate reads the file of a template; its path is relative to dir.
func readTemplate(dir, file string) (string, error) {
	switch {
	case file == "":
		return "", errors.New("it is empty: name the file of a template, relative to the project")
	case strings.Contains(file, "{{"):
		return "", errors.New("it is the template itself: put that into a file, and name it here")
	}
	at := absolute(dir, filepath.FromSlash(file))
	info, err := os.Stat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("no such file in %s: name one with a template of text/template", dir)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > templateLimit:
		return "", errors.New("it is not a file of at most a megabyte: name one with a template of text/template")
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(text) {
		return "", errors.New("it is not UTF-8 text: save it as UTF-8")
	}
	return string(text), nil
}

// placeholders returns the plan's images as if they were published. They have a
// repository even without registries, which may be configured elsewhere.
func (p *Plan) placeholders() map[string]Published {
	var all []ImageResult
	for _, ip := range p.ImagePlans {
		r := ImageResult{Name: ip.Name, Tags: ip.allTags()}
		for _, repo := range append(slices.Clone(ip.Repositories), ip.Name) {
			r.Refs = append(r.Refs, Ref{repo, v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}})
		}
		all = append(all, r)
	}
	return published(all)
}

// errLeftOut is the error of a template with an image that Overrides leave out.
var errLeftOut = errors.New("is left out of this run")

// execute returns the text of the file. only are the images in Overrides, nil means all.
func (f *Rendering) execute(images map[string]Published, only []string) (string, error) {
	known := slices.Sorted(maps.Keys(images))
	t, err := template.New("").Funcs(functions).Funcs(template.FuncMap{"image": func(name string) (Published, error) {
		p, ok := images[name]
		switch {
		case ok:
			return p, nil
		case only != nil && !slices.Contains(only, name):
			return p, fmt.Errorf("image %q %w", name, errLeftOut)
		}
		return p, fmt.Errorf("no image is named %q (the project has %s)%s", name, strings.Join(known, ", "), didYouMean(name, known))
	}}).Option("missingkey=error").Parse(f.Text)
	if err != nil {
		return "", f.explain(err)
	}
	var out strings.Builder
	if err := t.Execute(&out, f.Facts.platformless()); err != nil {
		return "", f.explain(err)
	}
	return out.String(), nil
}

// explain adds the file to an error of its template, and how to fix it.
func (f *Rendering) explain(err error) error {
	where := f.Template
	text := strings.Replace(strings.TrimPrefix(err.Error(), "template: :"), `executing "" at `, "", 1)
	fix := ""
	switch {
	case strings.Contains(text, "function \""):
		fix = "; the functions are text/template's, image, " + strings.Join(slices.Sorted(maps.Keys(functions)), ", ")
	case strings.Contains(text, "Published"):
		fix = "; an image has .Ref .Repository .Tag .Digest .Name"
	case strings.Contains(text, "can't evaluate field"):
		fix = "; beside (image NAME) there are .Version .Major .Minor .Patch .Prerelease .IsRelease .IsLatest .Revision .ShortRevision .Tag .Branch .Dirty .Date"
	}
	if errors.Is(err, errLeftOut) {
		return fmt.Errorf("%s:%s: %w", where, text, errLeftOut)
	}
	return fmt.Errorf("%s:%s%s", where, text, fix)
}

// rendered is a file to be written.
type rendered struct {
	path string
	text string
}

// renderAll renders the files for the published images. skipped says which of them can't
// be rendered in this run, and why.
func (p *Plan) renderAll(all []ImageResult) (files []rendered, skipped []string, err error) {
	images := published(all)
	for _, f := range p.Render {
		if len(images) < len(all) {
			skipped = append(skipped, fmt.Sprintf("%s stays as it is: without registries no image has a repository: set Registries or Overrides.Registries", f.Output))
			continue
		}
		text, err := f.execute(images, p.Limits.Images)
		switch {
		case errors.Is(err, errLeftOut):
			skipped = append(skipped, fmt.Sprintf("%s stays as it is: it needs images that Overrides.Images leaves out", f.Output))
		case err != nil:
			return nil, nil, err
		default:
			files = append(files, rendered{f.Output, text})
		}
	}
	return files, skipped, nil
}
