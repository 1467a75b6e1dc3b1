// Package distro chooses and unpacks packages of Debian and Alpine on a base, as
// apt-get and dpkg, or apk, would, without running anything of the base.
//
// Its files: relation, pkg, universe and choose are for both distributions;
// for Debian there are deb_version, deb_control, deb_relation, deb_system, deb_sources,
// deb_release, deb_index, and deb_archive, deb_rules, deb_libraries,
// deb_install, deb_alternative, deb_script, deb_database; for Alpine apk_version, apk_index,
// apk_install; system, either of them.
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

// takes tells whether the version is one that r wants.
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

// by tells whether the package fulfils r, by its name or what it provides. Only
// a provision with a version fulfils a relation with one (Debian policy 7.5).
func (r relation) by(p *pkg) bool {
	if p.name == r.name && r.takes(p.version) {
		return true
	}
	for _, given := range p.provides {
		if given.name == r.name && (r.op == "" || given.op == "=" && r.takes(given.version)) {
			return true
		}
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

func (g group) by(p *pkg) bool {
	for _, r := range g {
		if r.by(p) {
			return true
		}
	}
	return false
}
