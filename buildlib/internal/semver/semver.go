// Package semver parses and compares versions (Semantic Versioning 2.0.0,
// https://semver.org) as people tag them: with or without a leading v, and also short
// ones like v1 and v1.2.
package semver

import (
	"cmp"
	"regexp"
	"strings"
)

// Version has the parts of a version. They are strings, because the specification sets
// no limit for numbers.
type Version struct {
	Major, Minor, Patch string // Minor and Patch are empty in v1, Patch in v1.2
	Prerelease          string // rc.1 of v1.0.0-rc.1; empty: a release
	Build               string // build metadata: 5 of v1.0.0+5
}

// version is the specification's own expression ("FAQ"). In addition it allows a v, and
// versions without the last one or two numbers and what follows them.
var version = regexp.MustCompile(`^v?(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*)` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?)?)?$`)

// Parse parses a version, and reports whether s is one.
func Parse(s string) (Version, bool) {
	m := version.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	return Version{m[1], m[2], m[3], m[4], m[5]}, true
}

// Full reports whether v has all three numbers, as the specification requires.
func (v Version) Full() bool { return v.Patch != "" }

// Compare is negative if v is below w, positive if it is above. A short version is below
// every full one: v1 moves from release to release, beside the full version that it
// points to. Otherwise the order is precedence (section 11). If that is equal, build
// metadata decide, so that the order is always the same.
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

// number compares two numbers of any length. A missing one is below all others.
func number(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }

// identifiers compares lists of identifiers. Those of digits are compared as numbers, and
// are below the others; a longer list is above a list that it starts with.
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
		if byNumber { // build metadata may have leading zeros
			order = cmp.Or(number(strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")), order)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }
