package buildlib

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Facts are the data of templates. The functions trimPrefix, replace and lower are
// those of package strings, with the text as their last argument:
// {{.Version | trimPrefix "v"}}.
type Facts struct {
	// Version is the resolved version. The others are its parts if it is a semantic
	// version (semver.org), else empty. v1.2.3-4-gHASH and v1.2.3-dirty have the
	// parts of v1.2.3, and aren't releases.
	Version             string
	Major, Minor, Patch string // numbers
	Prerelease          string // rc.1 of v1.2.3-rc.1
	IsRelease           bool   // whether Version has no prerelease, and is exactly the commit's
	IsLatest            bool   // whether it is a release, and no tag is of a higher one

	Revision      string // the commit, 40 hex digits; empty without git
	ShortRevision string // its first 12
	Tag           string // the tag of HEAD that is the version, without a module's prefix; else empty
	Branch        string // empty if HEAD is detached, as it often is in CI
	Dirty         bool   // whether tracked files differ from the commit
	Date          string // the epoch as RFC 3339, in UTC

	// These are not available in Version, Tags, Registries, Repository and Aliases.
	Platform string // OS/ARCH[/VARIANT]
	OS       string
	Arch     string
	Variant  string
}

// versionless has the facts for the template of Version, and platformless those for
// Tags. In a template the others are unknown fields.
type (
	versionless struct {
		Revision, ShortRevision, Tag, Branch string
		Dirty                                bool
		Date                                 string
	}
	platformless struct {
		Version, Major, Minor, Patch, Prerelease string
		IsRelease, IsLatest                      bool
		versionless
	}
)

func (f Facts) versionless() versionless {
	return versionless{f.Revision, f.ShortRevision, f.Tag, f.Branch, f.Dirty, f.Date}
}

func (f Facts) platformless() platformless {
	return platformless{f.Version, f.Major, f.Minor, f.Patch, f.Prerelease, f.IsRelease, f.IsLatest, f.versionless()}
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
	fix := "the facts are .Version .Major .Minor .Patch .Prerelease .IsRelease .IsLatest .Revision .ShortRevision .Tag .Branch .Dirty .Date .Platform .OS .Arch .Variant; {{\"{{\"}} is {{ itself"
	unknown := unknownFact.FindStringSubmatch(why)
	switch {
	case unknown == nil:
	case slices.Contains([]string{"Platform", "OS", "Arch", "Variant"}, unknown[1]):
		fix = "a version, its tags and repositories are the same on every platform; PlatformTags are not"
	case slices.Contains([]string{"Version", "Major", "Minor", "Patch", "Prerelease", "IsRelease", "IsLatest"}, unknown[1]):
		fix = "the version can't depend on itself"
	}
	if strings.Contains(why, "function \"") {
		fix = "the functions are text/template's and " + strings.Join(slices.Sorted(maps.Keys(functions)), ", ")
	}
	return fmt.Errorf("template %q: %s (%s)", text, why, fix)
}

var unknownFact = regexp.MustCompile(`can't evaluate field (\w+) `)

// forPlatform returns f with the facts of p.
func (f Facts) forPlatform(p Platform) Facts {
	f.Platform, f.OS, f.Arch, f.Variant = p.String(), p.OS, p.Architecture, p.Variant
	return f
}

// slashed converts a path in an image for Windows, C:\app, to the form that paths have
// elsewhere: /app. Without facts, a path that starts with C: is one for Windows.
func (f *Facts) slashed(p string) string {
	drive, rest, ok := strings.Cut(p, ":")
	ok = ok && strings.EqualFold(drive, "c")
	if f != nil && f.OS != "windows" || f == nil && !ok {
		return p
	}
	if ok {
		p = rest
	}
	return strings.ReplaceAll(p, `\`, "/")
}
