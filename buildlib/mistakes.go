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
	if !r.badTemplates[field] {
		r.note(fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
	}
}

// note notes a mistake once, even if it is found on several platforms.
func (r *resolver) note(err error) {
	for _, noted := range r.mistakes {
		if noted.Error() == err.Error() {
			return
		}
	}
	r.mistakes = append(r.mistakes, err)
}

// listField is the field that a mistake in a list names: the Project's, or the one of
// Overrides that replaces it.
func (r *resolver) listField(field string, override []string) string {
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

// render executes a field's template, and reports whether it could. If the template is
// wrong, no other mistake in the field is noted. Without facts (a nil *Facts) no
// template can be executed.
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
		r.badTemplates[field] = true
	}
	return out, err == nil
}

// renderList renders a list and checks its elements. Those that render empty are left
// out; if all do, the result is nil.
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

// templates are the Project's fields that are templates. In others {{ would be literal
// text, which nobody wants.
var templates = map[string]bool{
	"Version": true, "Tags": true, "Registries": true, "Labels": true,
	"Go.Tags": true, "Go.Ldflags": true, "Go.Flags": true, "Go.Env": true, "Go.CGO.CC": true, "Go.CGO.CXX": true,
	"Binaries.Path":    true,
	"Binaries.Go.Tags": true, "Binaries.Go.Ldflags": true, "Binaries.Go.Flags": true, "Binaries.Go.Env": true, "Binaries.Go.CGO.CC": true, "Binaries.Go.CGO.CXX": true,
	"Images.Repository": true, "Images.Aliases": true, "Images.Registries": true, "Images.Tags": true, "Images.PlatformTags": true, "Images.Labels": true,
	"Images.Base": true, "Images.BinDir": true, "Images.WorkDir": true, "Images.Entrypoint": true, "Images.Cmd": true,
	"Images.Env": true, "Images.Ports": true, "Images.Volumes": true, "Images.Files.Source": true, "Images.Files.Path": true,
	"Render.Template":         true, // a file name; readTemplate explains it to those who write the template itself
	"Images.Healthcheck.Test": true, "Images.Smoke": true,
}

// refuseTemplates notes templates in fields that take none.
func (r *resolver) refuseTemplates() {
	refuse := func(field, text string) {
		if strings.Contains(text, "{{") {
			r.mistake(field, "%q contains {{, but this field takes no template: write the value itself", text)
			r.badTemplates[field] = true
		}
	}
	eachText(reflect.ValueOf(r.project), "", "", func(field, kind, text string) {
		if !templates[kind] {
			refuse(field, text)
		}
	})
	refuse("Overrides.Output", r.overrides.Output)
	if r.badTemplates["Overrides.Output"] {
		r.badTemplates["Output"] = true
	}
}

// eachText calls do for each string in v with its field, like Images[0].Labels["a"];
// its kind, which is the field without indexes and keys; and the string. The keys of
// maps are included.
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

// inFieldOrder compares mistakes by the positions of their fields in Project. Those
// in the environment come last.
func inFieldOrder(a, b error) int { return slices.Compare(position(a), position(b)) }

// position is that of the field that a mistake begins with: the indexes of fields in
// their structs, and of elements in their lists.
func position(mistake error) []int {
	field, _, _ := strings.Cut(mistake.Error(), ": ")
	if strings.HasPrefix(field, "image ") { // an image that isn't declared
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
				break // elements of a map are noted in the order of their keys
			}
			t = t.Elem()
		}
	}
	return at
}

// parsePlatforms parses a list, and notes its mistakes under field.
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

// renderPath renders a path in the image, checks it and cleans it. It may be empty.
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
		r.mistake(field, "%q has control characters or is not UTF-8", p)
		return ""
	}
	return path.Clean(p)
}
