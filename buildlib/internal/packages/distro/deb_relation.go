package distro

import (
	"fmt"
	"strings"
)

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
			return nil, fmt.Errorf("%q has alternatives, which this field can't have", g)
		}
		all = append(all, g[0])
	}
	return all, err
}

func parseRelation(s string) (relation, error) {
	name, bound, bounded := strings.Cut(s, "(")
	r := relation{name: strings.TrimSpace(name), compare: compareDeb}
	r.name, _, _ = strings.Cut(r.name, ":") // there is only one architecture
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
