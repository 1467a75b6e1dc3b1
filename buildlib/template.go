package buildlib

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// Facts are what templates see. The functions trimPrefix, replace and lower
// are those of package strings, with the text as their last argument:
// {{.Version | trimPrefix "v"}}.
type Facts struct {
	Version       string // the resolved version
	Revision      string // the commit, 40 hex digits; empty without git
	ShortRevision string // its first 12
	Tag           string // the tag that HEAD has, without a module's prefix; else empty
	Dirty         bool   // whether tracked files differ from the commit
	Date          string // the epoch as RFC 3339, in UTC

	// Those of the platform are not known in Version and Tags.
	Platform string // OS/ARCH[/VARIANT]
	OS       string
	Arch     string
	Variant  string
}

// versionless are the facts that a Version template sees, and platformless
// those of Tags: naming another is an error, as it is of any unknown field.
type (
	versionless struct {
		Revision, ShortRevision, Tag string
		Dirty                        bool
		Date                         string
	}
	platformless struct {
		Version string
		versionless
	}
)

func (f Facts) versionless() versionless {
	return versionless{f.Revision, f.ShortRevision, f.Tag, f.Dirty, f.Date}
}

func (f Facts) platformless() platformless {
	return platformless{f.Version, f.versionless()}
}

var functions = template.FuncMap{
	"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"replace":    func(old, new, s string) string { return strings.ReplaceAll(s, old, new) },
	"lower":      strings.ToLower,
}

// render executes text as a template over facts.
func render(text string, facts any) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("").Funcs(functions).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", templateError(text, err)
	}
	var out strings.Builder
	if err := t.Execute(&out, facts); err != nil {
		return "", templateError(text, err)
	}
	return out.String(), nil
}

func templateError(text string, err error) error {
	why := strings.TrimPrefix(err.Error(), "template: :")
	fix := "the facts are .Version .Revision .ShortRevision .Tag .Dirty .Date .Platform .OS .Arch .Variant"
	for _, fact := range []string{"Platform", "OS", "Arch", "Variant"} {
		if strings.Contains(why, "can't evaluate field "+fact+" ") {
			fix = "a version and its tags are the same on every platform"
		}
	}
	if strings.Contains(why, "can't evaluate field Version ") {
		fix = "the version can't be made of itself"
	}
	if i := strings.Index(why, "function \""); i >= 0 {
		names := make([]string, 0, len(functions))
		for name := range functions {
			names = append(names, name)
		}
		slices.Sort(names)
		fix = "the functions are text/template's and " + strings.Join(names, ", ")
	}
	return fmt.Errorf("template %q: %s (%s)", text, why, fix)
}
