package distro

import (
	"slices"
	"strconv"
	"strings"
)

// The parts of a version in the order in which they may follow each other
// (apk-package(5)): 1.2.3a_rc1-r4.
const (
	apkNumber = iota
	apkLetter
	apkSuffix
	apkSuffixNumber
	apkRevision
	apkEnd
	apkInvalid
)

// apkSuffixes are in ascending order; the empty one is a version without a suffix.
var apkSuffixes = []string{"alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"}

type apkPart struct{ kind, value int }

// apkParts splits a version.
func apkParts(v string) []apkPart {
	var parts []apkPart
	for at := apkNumber; ; {
		n := 0
		for n < len(v) && digit(v[n]) {
			n++
		}
		value, err := strconv.Atoi(v[:n])
		if n == 0 && at != apkSuffixNumber || err != nil && n > 0 {
			return append(parts, apkPart{apkInvalid, 0})
		}
		zeros := n - len(strings.TrimLeft(v[:n], "0"))
		if zeros *= min(1, len(parts)); at == apkNumber && zeros > 0 {
			parts = append(parts, apkPart{apkNumber, -zeros}) // .05 comes before .1
		}
		if n > 0 && (at != apkNumber || n > zeros) {
			parts = append(parts, apkPart{at, value})
		}
		if v = v[n:]; v != "" && v[0] >= 'a' && v[0] <= 'z' && at == apkNumber {
			parts = append(parts, apkPart{apkLetter, int(v[0])})
			v, at = v[1:], apkLetter
		}
		switch {
		case v == "":
			return append(parts, apkPart{apkEnd, 0})
		case v[0] == '.' && at == apkNumber:
			v = v[1:]
		case v[0] == '_' && at != apkRevision:
			end := 1
			for end < len(v) && v[end] >= 'a' && v[end] <= 'z' {
				end++
			}
			i := slices.Index(apkSuffixes, v[1:end])
			if i < 0 || end == 1 {
				return append(parts, apkPart{apkInvalid, 0})
			}
			parts = append(parts, apkPart{apkSuffix, i - slices.Index(apkSuffixes, "")})
			v, at = v[end:], apkSuffixNumber
		case strings.HasPrefix(v, "-r") && at != apkRevision:
			v, at = v[2:], apkRevision
		default:
			return append(parts, apkPart{apkInvalid, 0})
		}
	}
}

// compareApk compares two versions as apk does.
func compareApk(a, b string) int {
	x, y := apkParts(a), apkParts(b)
	for i := range min(len(x), len(y)) {
		p, q := x[i], y[i]
		switch {
		case p.kind != q.kind && p.kind == apkSuffix && p.value < 0:
			return -1
		case p.kind != q.kind && q.kind == apkSuffix && q.value < 0:
			return 1
		case p.kind != q.kind:
			return q.kind - p.kind // an earlier kind of part goes on where the other ends
		case p.value != q.value:
			return p.value - q.value
		}
	}
	return len(x) - len(y)
}
