// Package semver parses and compares versions (Semantic Versioning 2.0.0,
// https://semver.org), written as people tag them: with or without a leading v, and
// short ones like v1 and v1.2, too.
package semver

import (
	"cmp"
	"regexp"
	"strings"
)

// Version is a version's parts. They are text, because the specification bounds
// no number.
type Version struct {
	Major, Minor, Patch string // Minor and Patch are empty in v1, Patch in v1.2
	Prerelease          string // rc.1 of v1.0.0-rc.1; empty: a release
	Build               string // build metadata: 5 of v1.0.0+5
}

// version is the specification's own expression ("FAQ"), with a v allowed, and
// without the last one or two numbers, then neither with what follows them.
var version = regexp.MustCompile(`^v?(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*)` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?)?)?$`)

// Parse takes a version apart, and reports whether it is one.
func Parse(s string) (Version, bool) {
	m := version.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	return Version{m[1], m[2], m[3], m[4], m[5]}, true
}

// Full reports whether all three numbers are there, as the specification wants it.
func (v Version) Full() bool { return v.Patch != "" }

// Compare is negative if v is below w, positive if it is above. A short version
// is below every full one: v1 moves from release to release, and is there
// beside the one that it stands for. Otherwise it is precedence (section 11);
// and where that knows no difference, the build metadata decide, so that the
// order is the same everywhere.
func Compare(v, w Version) int {
	if v.Full() != w.Full() {
		return compareBool(v.Full(), w.Full())
	}
	return cmp.Or(
		number(v.Major, w.Major), number(v.Minor, w.Minor), number(v.Patch, w.Patch),
		compareBool(v.Prerelease == "", w.Prerelease == ""),
		identifiers(v.Prerelease, w.Prerelease),
		identifiers(v.Build, w.Build),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// number compares two of any length. One that is missing is below all.
func number(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }

// identifiers compares lists of them: those of digits as numbers, and below the
// others; a list is above one that it goes on from.
func identifiers(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		byNumber := isNumber(x)
		if byNumber != isNumber(y) {
			return compareBool(!byNumber, byNumber)
		}
		order := strings.Compare(x, y)
		if byNumber { // build metadata may have zeros in front
			order = cmp.Or(number(strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")), order)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }
