package deb

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
	c := Compare(version, r.version)
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

// parseGroups parses a field of relations. Binary packages have neither lists
// of architectures nor profiles in them.
func parseGroups(field string) ([]group, error) {
	var all []group
	for part := range strings.SplitSeq(field, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		var g group
		for alt := range strings.SplitSeq(part, "|") {
			r, err := parseRelation(strings.TrimSpace(alt))
			if err != nil {
				return nil, err
			}
			g = append(g, r)
		}
		all = append(all, g)
	}
	return all, nil
}

// parseRelations parses a field without alternatives.
func parseRelations(field string) ([]relation, error) {
	groups, err := parseGroups(field)
	var all []relation
	for _, g := range groups {
		if len(g) > 1 {
			return nil, fmt.Errorf("%q has alternatives where none can be", g)
		}
		all = append(all, g[0])
	}
	return all, err
}

func parseRelation(s string) (relation, error) {
	name, bound, bounded := strings.Cut(s, "(")
	r := relation{name: strings.TrimSpace(name)}
	r.name, _, _ = strings.Cut(r.name, ":") // one architecture is all there is
	if bounded {
		bound, closed := strings.CutSuffix(strings.TrimSpace(bound), ")")
		r.version = strings.TrimSpace(strings.TrimLeft(bound, "<=> "))
		r.op = strings.TrimSpace(bound[:len(bound)-len(strings.TrimLeft(bound, "<=>"))])
		if !closed || r.op == "" || r.version == "" {
			return r, fmt.Errorf("%.80q is not a dependency", s)
		}
	}
	if r.name == "" || strings.ContainsAny(r.name, " /[<") {
		return r, fmt.Errorf("%.80q is not a dependency", s)
	}
	return r, nil
}
