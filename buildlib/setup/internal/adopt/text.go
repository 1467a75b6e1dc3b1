package adopt

import (
	"regexp"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// Values are carried about with facts, and variables that have no known value,
// between runes that no file uses, so that what else is in them is literal text.
const (
	factOpen = "\ue000"
	closing  = "\ue001"
)

func fact(name string) string { return factOpen + name + closing }

func unset(name string) string { return dockerfile.Unset + name + closing }

var placeholder = regexp.MustCompile("[" + factOpen + dockerfile.Unset + "]([^" + closing + "]*)" + closing)

// template is the value as a field's template has it, and whether all of it is
// known. What isn't is written as a variable.
func template(value string) (string, bool) {
	known := !strings.Contains(value, dockerfile.Unset)
	value = strings.ReplaceAll(value, "{{", `{{"{{"}}`)
	return placeholder.ReplaceAllStringFunc(value, func(s string) string {
		name := placeholder.FindStringSubmatch(s)[1]
		if strings.HasPrefix(s, factOpen) {
			return "{{." + name + "}}"
		}
		return "$" + name
	}), known
}

// plain is the value where a field is no template: facts are not known there.
func plain(value string) (string, bool) {
	return placeholder.ReplaceAllString(value, "$$$1"), !placeholder.MatchString(value)
}

// versionArgs are the names that projects give to what a build is told of the
// version, and the fact that is it.
var versionArgs = []struct {
	names *regexp.Regexp
	fact  string
}{
	{regexp.MustCompile(`^(?:APP_|BUILD_|GIT_|IMAGE_)?(?:VERSION|TAG)$|^RELEASE(?:_VERSION)?$`), "Version"},
	{regexp.MustCompile(`^(?:APP_|BUILD_|GIT_|VCS_)?(?:COMMIT|REVISION|REF|SHA|COMMIT_SHA|COMMIT_HASH|HASH)$`), "Revision"},
	{regexp.MustCompile(`^(?:APP_|BUILD_|COMMIT_)?(?:DATE|TIME|TIMESTAMP|CREATED)$|^BUILDTIME$|^BUILDDATE$`), "Date"},
	{regexp.MustCompile(`^\((?:git describe\b.*)\)$`), "Version"},
	{regexp.MustCompile(`^\(git rev-parse --short\b.*\)$`), "ShortRevision"},
	{regexp.MustCompile(`^\(git (?:rev-parse HEAD|log .*%H.*)\)$`), "Revision"},
	{regexp.MustCompile(`^\(date\b.*\)$`), "Date"},
	{regexp.MustCompile(`^TARGETPLATFORM$`), "Platform"},
	{regexp.MustCompile(`^TARGETOS$`), "OS"},
	{regexp.MustCompile(`^TARGETARCH$`), "Arch"},
	{regexp.MustCompile(`^TARGETVARIANT$`), "Variant"},
}

// known returns the fact that a variable or command stands for.
func known(name string) (string, bool) {
	for _, v := range versionArgs {
		if v.names.MatchString(name) {
			return fact(v.fact), true
		}
	}
	return "", false
}
