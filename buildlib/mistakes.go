package buildlib

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mistake notes what is wrong with a field of the Project.
func (r *resolver) mistake(field, format string, args ...any) {
	if !r.wrong[field] {
		r.note(fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
	}
}

// note notes a mistake once, though it may be found on each platform.
func (r *resolver) note(err error) {
	for _, noted := range r.mistakes {
		if noted.Error() == err.Error() {
			return
		}
	}
	r.mistakes = append(r.mistakes, err)
}

// named is what a mistake calls a list: the Project's field, or the variable
// that overrides it.
func (r *resolver) named(field string, override []string) string {
	if override != nil {
		return "Overrides." + field
	}
	return field
}

// check notes err, if there is one, as a field's mistake.
func (r *resolver) check(field string, err error) {
	if err != nil {
		r.mistake(field, "%w", err)
	}
}

// render executes a field's template, and reports whether there is a text. A
// template that is wrong is all that is noted of its field. Without facts there
// is no text of a template.
func (r *resolver) render(field, text string, facts any) (string, bool) {
	if of, ok := facts.(*Facts); ok {
		if of == nil && strings.Contains(text, "{{") {
			return "", false
		}
		facts = *cmp.Or(of, &Facts{})
	}
	out, err := render(text, facts)
	if err != nil {
		r.check(field, err)
		r.wrong[field] = true
	}
	return out, err == nil
}

// renderList renders a list and checks what comes of it. What renders empty is
// left out; if that is all, the list is as if it weren't there.
func (r *resolver) renderList(field string, texts []string, facts *Facts, check func(field, text string) string) []string {
	if len(texts) == 0 {
		return texts
	}
	var out []string
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", field, i)
		s, ok := r.render(at, text, facts)
		if ok && (s != "" || text == "") {
			out = append(out, check(at, s))
		}
	}
	return out
}

// templates are the Project's fields that are templates. In the others {{ would
// come out as it is written, which nobody means.
var templates = map[string]bool{
	"Version": true, "Tags": true, "Registries": true, "Labels": true,
	"Go.Tags": true, "Go.Ldflags": true, "Go.Flags": true, "Go.Env": true, "Go.CGO.CC": true, "Go.CGO.CXX": true,
	"Binaries.Path":    true,
	"Binaries.Go.Tags": true, "Binaries.Go.Ldflags": true, "Binaries.Go.Flags": true, "Binaries.Go.Env": true, "Binaries.Go.CGO.CC": true, "Binaries.Go.CGO.CXX": true,
	"Images.Repository": true, "Images.Aliases": true, "Images.Registries": true, "Images.Tags": true, "Images.PlatformTags": true, "Images.Labels": true,
	"Images.Base": true, "Images.BinDir": true, "Images.WorkDir": true, "Images.Entrypoint": true, "Images.Cmd": true,
	"Images.Env": true, "Images.Ports": true, "Images.Volumes": true, "Images.Files.Source": true, "Images.Files.Path": true,
	"Render.Template":         true, // a file's name, where some write the template itself: renderings says so
	"Images.Healthcheck.Test": true, "Images.Smoke": true,
}

// refuseTemplates notes the fields that hold a template and aren't one.
func (r *resolver) refuseTemplates() {
	refuse := func(field, text string) {
		if strings.Contains(text, "{{") {
			r.mistake(field, "%q contains {{, but this field takes no template: write the value itself", text)
			r.wrong[field] = true
		}
	}
	eachText(reflect.ValueOf(r.project), "", "", func(field, kind, text string) {
		if !templates[kind] {
			refuse(field, text)
		}
	})
	refuse("Overrides.Output", r.over.Output)
	if r.wrong["Overrides.Output"] {
		r.wrong["Output"] = true
	}
}

// eachText calls do for each text in v: with its field, like
// Images[0].Labels["a"], its field without what tells elements apart, and the
// text. The keys of a map are texts, too, of the map's field.
func eachText(v reflect.Value, field, kind string, do func(field, kind, text string)) {
	switch v.Kind() {
	case reflect.String:
		do(field, kind, v.String())
	case reflect.Slice:
		for i := range v.Len() {
			eachText(v.Index(i), fmt.Sprintf("%s[%d]", field, i), kind, do)
		}
	case reflect.Map:
		m, ok := v.Interface().(map[string]string)
		if !ok {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			at := fmt.Sprintf("%s[%q]", field, key)
			do(at, kind+" key", key)
			do(at, kind, m[key])
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			eachText(v.Field(i), strings.TrimPrefix(field+"."+name, "."), strings.TrimPrefix(kind+"."+name, "."), do)
		}
	}
}

// inFieldOrder compares mistakes by where the Project has their fields. Those
// of the environment come last.
func inFieldOrder(a, b error) int { return slices.Compare(place(a), place(b)) }

// place is where the Project has the field that a mistake begins with: the
// numbers of fields in their structs, and of elements.
func place(mistake error) []int {
	field, _, _ := strings.Cut(mistake.Error(), ": ")
	if strings.HasPrefix(field, "image ") { // one that no field has
		field = "Images"
	}
	var at []int
	t := reflect.TypeFor[Project]()
	for name := range strings.SplitSeq(field, ".") {
		name, index, isElement := strings.Cut(name, "[")
		if t.Kind() != reflect.Struct {
			break // a dot in a label's key
		}
		f, ok := t.FieldByName(name)
		if !ok {
			return append(at, math.MaxInt)
		}
		at = append(at, f.Index[0])
		if t = f.Type; isElement {
			n, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			at = append(at, n)
			if t = f.Type; t.Kind() != reflect.Slice || err != nil {
				break // a map's are in the order of their keys already
			}
			t = t.Elem()
		}
	}
	return at
}

// parsePlatforms reads a list, noting each mistake under field.
func (r *resolver) parsePlatforms(field string, list []string) []Platform {
	var parsed []Platform
	for i, s := range list {
		p, err := parsePlatform(s, r.ports)
		if err != nil {
			r.check(fmt.Sprintf("%s[%d]", field, i), err)
			continue
		}
		if slices.Contains(parsed, p) {
			r.mistake(fmt.Sprintf("%s[%d]", field, i), "platform %s is named twice", p)
			continue
		}
		parsed = append(parsed, p)
	}
	return parsed
}

// renderPath renders a path in the image, checks and cleans it. An empty one stays
// empty.
func (r *resolver) renderPath(field, text string, facts *Facts) string {
	p, _ := r.render(field, text, facts)
	if p == "" {
		return ""
	}
	return r.imagePath(field, facts.slashed(p))
}

// imagePath checks and cleans a path in the image.
func (r *resolver) imagePath(field, p string) string {
	if !path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), "..") {
		r.mistake(field, "%q: want an absolute path in the image, without ..", p)
		return ""
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) {
		r.mistake(field, "%q: has control characters or is not UTF-8", p)
		return ""
	}
	return path.Clean(p)
}
