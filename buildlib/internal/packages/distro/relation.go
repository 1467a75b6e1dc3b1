// Package distro chooses and unpacks packages of Debian and Alpine on a base, as
// apt-get and dpkg, or apk, would, without running anything of the base.
//
// Its files: relation, deb_version, deb_control and deb_relation, on which pkg builds;
// universe and choose, for both distributions. For Debian: deb_system, deb_sources,
// deb_release, deb_index; deb_archive, deb_rules, deb_libraries, deb_unpack,
// deb_alternative, deb_script, deb_database, deb_install. For Alpine: apk_version,
// apk_index, apk_file, apk_system, apk_install. system is either of them.
package distro

import (
	"fmt"
	"strings"
)

// relation is one name of a dependency, with the versions that it takes
// (deb-control(5), "Depends").
type relation struct {
	name    string
	op      string // empty: any version
	version string
	compare func(a, b string) int
}

func (r relation) String() string {
	if r.op == "" {
		return r.name
	}
	return fmt.Sprintf("%s (%s %s)", r.name, r.op, r.version)
}

// takes tells whether r allows the version.
func (r relation) takes(version string) bool {
	if r.op == "" {
		return true
	}
	if r.op == "~" { // the first parts of the version
		return strings.HasPrefix(version+".", r.version+".") || strings.HasPrefix(version, r.version+"-") || strings.HasPrefix(version, r.version+"_")
	}
	c := r.compare(version, r.version)
	switch r.op {
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case "=":
		return c == 0
	case ">=", ">":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// group is a dependency: one of its alternatives is enough.
type group []relation

func (g group) String() string {
	var all []string
	for _, r := range g {
		all = append(all, r.String())
	}
	return strings.Join(all, " | ")
}
