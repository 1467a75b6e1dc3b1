package adopt

import (
	"regexp"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/dockerfile"
)

// In values, facts and variables without a known value are enclosed in runes that no
// file uses, so that everything else is literal text.
const (
	factOpen = "\ue000"
	closing  = "\ue001"
)

func fact(name string) string { return factOpen + name + closing }

func unset(name string) string { return dockerfile.Unset + name + closing }

var placeholder = regexp.MustCompile("[" + factOpen + dockerfile.Unset + "]([^" + closing + "]*)" + closing)

// template converts a value for a field that is a template, and reports whether all of it
// is known. Unknown variables are written as $NAME.
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

// plain converts a value for a field that isn't a template, and reports whether all of
// it is known. Facts are unknown there.
func plain(value string) (string, bool) {
	return placeholder.ReplaceAllString(value, "$$$1"), !placeholder.MatchString(value)
}

// versionArgs has the facts for the usual names of a build's arguments, and for commands.
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

// factFor returns the fact for a variable or a command.
func factFor(name string) (string, bool) {
	for _, v := range versionArgs {
		if v.names.MatchString(name) {
			return fact(v.fact), true
		}
	}
	return "", false
}
