package distro

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// pkg is a version of a package, in an index or installed.
type pkg struct {
	name, version, arch, multi string

	text      string // the paragraph of an installed one
	url       string // of the .deb; empty: installed
	size      int64
	sha256    string
	rank      int  // by its Priority, 0 the most important
	last      bool // of a suite that is used only if asked for (NotAutomatic)
	essential bool

	provides          []relation
	depends           []group // Pre-Depends too
	conflicts, breaks []relation
	replaces          []relation
	exclusive         []string // names that no other installed package may provide (apk)
	installIf         []group  // installed when all of these are (apk)
	checksum          string   // of an .apk's control part
	bad               error    // why its relations can't be read
	relations         [5]string
	parsed            bool
}

// The forms of names (Debian policy 5.6.1) and versions. None of them can be a path.
var (
	validName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*$`)
	validVersion = regexp.MustCompile(`^[A-Za-z0-9.+:~-]+$`)
	controlName  = regexp.MustCompile(`^[a-z0-9]+$`)
)

func newPkg(s stanza) (*pkg, error) {
	p := &pkg{
		name: s.get("package"), version: s.get("version"), arch: s.get("architecture"), multi: s.get("multi-arch"),
		essential: s.get("essential") == "yes",
		relations: [5]string{s.get("pre-depends"), s.get("depends"), s.get("conflicts"), s.get("breaks"), s.get("replaces")},
	}
	if !validName.MatchString(p.name) || !validVersion.MatchString(p.version) || !validName.MatchString(p.arch) {
		return nil, fmt.Errorf("package %.80q, version %.80q, architecture %.80q: not a package", p.name, p.version, p.arch)
	}
	var err error
	if p.provides, err = parseRelations(s.get("provides")); err != nil {
		return nil, fmt.Errorf("package %s: Provides: %w", p.name, err)
	}
	if size := s.get("size"); size != "" {
		if p.size, err = strconv.ParseInt(size, 10, 64); err != nil || p.size < 0 {
			return nil, fmt.Errorf("package %s: Size %.80q is not a number", p.name, size)
		}
	}
	p.sha256 = strings.ToLower(s.get("sha256"))
	return p, nil
}

// parse reads the relations, which few of an index's packages need.
func (p *pkg) parse() error {
	if p.parsed {
		return p.bad
	}
	p.parsed = true
	pre, err := parseGroups(p.relations[0])
	if err == nil {
		p.depends, err = parseGroups(p.relations[1])
		p.depends = append(pre, p.depends...)
	}
	for i, to := range []*[]relation{&p.conflicts, &p.breaks, &p.replaces} {
		if err == nil {
			*to, err = parseRelations(p.relations[i+2])
		}
	}
	if err != nil {
		p.bad = fmt.Errorf("package %s %s: %w", p.name, p.version, err)
	}
	return p.bad
}

// excludes tells whether p conflicts with q. A package doesn't conflict with
// itself, or with what it provides.
func (p *pkg) excludes(q *pkg) bool {
	if p.name == q.name {
		return false
	}
	conflicts := func(r relation) bool { return r.by(q) }
	return slices.ContainsFunc(p.exclusive, func(name string) bool { return slices.Contains(q.exclusive, name) }) ||
		slices.ContainsFunc(p.conflicts, conflicts) || slices.ContainsFunc(p.breaks, conflicts)
}

// clashes tells whether p and q can't both be installed.
func (p *pkg) clashes(q *pkg) bool { return p.excludes(q) || q.excludes(p) }

func (p *pkg) String() string { return p.name + " " + p.version }

// by tells whether the package fulfils r, by its name or what it provides. Only
// a provision with a version fulfils a relation with one (Debian policy 7.5).
func (r relation) by(p *pkg) bool {
	if p.name == r.name && r.takes(p.version) {
		return true
	}
	return slices.ContainsFunc(p.provides, func(given relation) bool {
		return given.name == r.name && (r.op == "" || given.op == "=" && r.takes(given.version))
	})
}

func (g group) by(p *pkg) bool {
	return slices.ContainsFunc(g, func(r relation) bool { return r.by(p) })
}

// locked lists packages as a lock has them.
func locked(chosen []*pkg) []packages.Package {
	var list []packages.Package
	for _, p := range chosen {
		list = append(list, packages.Package{Name: p.name, Version: p.version, URL: p.url, Size: p.size, SHA256: p.sha256})
	}
	return list
}
