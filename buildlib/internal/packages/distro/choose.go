package distro

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// choose finds packages for those wanted, and returns them by name.
func choose(u *universe, installed map[string]*pkg, wanted []string) ([]*pkg, error) {
	c := &chooser{universe: u, installed: installed, base: sorted(installed), chosen: map[string]*pkg{}, left: maxTries}
	for _, p := range c.base {
		if err := p.parse(); err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
	}
	var first *demand
	for _, want := range slices.Backward(wanted) {
		d, err := c.wanted(want)
		if err != nil {
			return nil, err
		}
		if d != nil {
			d.next, first = first, d
		}
	}
	for first != nil {
		if err := c.solve(first); err != nil {
			return nil, err
		}
		first = c.companion()
	}
	return sorted(c.chosen), nil
}

// companion demands a package that is to be installed with those that are there by
// now (apk's install_if). It is nil if there is none.
func (c *chooser) companion() *demand {
	for _, p := range c.companions {
		missing := func(g group) bool { return !c.met(g) }
		if c.chosen[p.name] != nil || c.installed[p.name] != nil || slices.ContainsFunc(p.installIf, missing) {
			continue
		}
		if slices.ContainsFunc(slices.Collect(maps.Values(c.chosen)), p.clashes) {
			continue
		}
		return &demand{group: group{{name: p.name, op: "=", version: p.version, compare: c.compare}}}
	}
	return nil
}

// maxTries bounds the search: real choices need a few more tries than packages.
const maxTries = 200_000

// chooser searches depth first: it takes the first alternative of a dependency
// that fits what is chosen so far, and comes back to it if that leads nowhere.
type chooser struct {
	*universe
	installed map[string]*pkg
	base      []*pkg // those installed, by name
	chosen    map[string]*pkg
	left      int // tries
}

// sorted are the packages in the order of their names, so that a choice doesn't
// depend on the order of a map.
func sorted(byName map[string]*pkg) []*pkg {
	list := make([]*pkg, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[name])
	}
	return list
}

// demand is a dependency that has to be met, and why. Demands are a linked list.
type demand struct {
	group group
	of    *pkg    // whose dependency it is; nil: the user's
	why   *demand // the demand that of was chosen for
	next  *demand
}

// chain says what led to the demand.
func (d *demand) chain() string {
	text := d.group.String()
	for ; d.of != nil && d.why != nil; d = d.why {
		text = d.of.String() + " -> " + text
	}
	if d.of != nil {
		text = d.of.String() + " (in the base) -> " + text
	}
	return text
}

// wanted is the demand of a package that the user names. It is nil if the base has
// the newest version.
func (c *chooser) wanted(want string) (*demand, error) {
	name, version, exact := strings.Cut(want, "=")
	if name == "" || exact && version == "" {
		return nil, fmt.Errorf("%q is not the name of a package; write NAME or NAME=VERSION", want)
	}
	r := relation{name: name, compare: c.compare}
	versions := c.named[name]
	base := c.installed[name]
	switch {
	case exact:
		r.op, r.version = "=", version
	case len(versions) > 0 && base != nil && c.compare(base.version, versions[0].version) < 0:
		r.op, r.version = "=", versions[0].version // as apt-get install does
	case base != nil:
		return nil, nil
	}
	if len(versions) == 0 && base == nil {
		switch by := c.provided[name]; {
		case len(by) == 0:
			text := fmt.Sprintf("package %s: the base's repositories have no package of that name", name)
			if near := wording.Nearest(name, slices.Sorted(maps.Keys(c.named))); near != "" {
				text += fmt.Sprintf("; did you mean %s?", near)
			}
			return nil, errors.New(text)
		case slices.ContainsFunc(by, func(p *pkg) bool { return p.name != by[0].name }):
			var names []string
			for _, p := range by {
				names = append(names, p.name)
			}
			return nil, fmt.Errorf("package %s: several packages provide it (%s): name one of them", name, strings.Join(slices.Compact(names), ", "))
		}
	}
	return &demand{group: group{r}}, nil
}

// solve chooses packages until all demands from d on are met.
func (c *chooser) solve(d *demand) error {
	for d != nil && c.met(d.group) {
		d = d.next
	}
	if d == nil {
		return nil
	}
	var failed error
	for _, p := range c.options(d.group) {
		if c.left--; c.left < 0 {
			return errors.New("no choice of packages that fit together was found; name versions (NAME=VERSION) to narrow it")
		}
		more, err := c.try(p, d)
		if err == nil {
			if err = c.solve(more); err == nil {
				return nil
			}
			delete(c.chosen, p.name)
		}
		if failed == nil {
			failed = err
		}
	}
	if failed == nil {
		failed = fmt.Errorf("package %s: %s", d.chain(), c.reason(d.group))
	}
	return failed
}

// now is the package of that name as it is by now.
func (c *chooser) now(name string) *pkg {
	if p := c.chosen[name]; p != nil {
		return p
	}
	return c.installed[name]
}

func (c *chooser) met(g group) bool {
	for _, r := range g {
		if p := c.now(r.name); p != nil && r.by(p) {
			return true
		}
		for _, p := range c.provided[r.name] {
			if c.chosen[p.name] == p && r.by(p) {
				return true
			}
		}
		for _, p := range c.base {
			if c.chosen[p.name] == nil && r.by(p) {
				return true
			}
		}
	}
	return false
}

// options are the packages that would meet g, the best first.
func (c *chooser) options(g group) []*pkg {
	var all []*pkg
	for _, r := range g {
		for _, list := range [][]*pkg{c.named[r.name], c.provided[r.name]} {
			for _, p := range list {
				older := c.installed[p.name] != nil && c.compare(p.version, c.installed[p.name].version) <= 0
				if r.by(p) && !older && !slices.Contains(all, p) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// reason says why nothing can meet g.
func (c *chooser) reason(g group) string {
	var all []string
	for _, r := range g {
		var has []string
		for _, p := range c.named[r.name] {
			has = append(has, p.version)
		}
		p := c.installed[r.name]
		if len(has) == 0 && p == nil {
			all = append(all, "the repositories have no "+r.name)
			continue
		}
		versions := cmp.Or(strings.Join(slices.Compact(has), ", "), "no version")
		if p != nil {
			versions += ", the base " + p.version
		}
		all = append(all, fmt.Sprintf("the repositories have %s in %s, and no package of the base is replaced by an older one", r.name, versions))
	}
	return strings.Join(all, "; ")
}

// try chooses p for the demand d, unless it clashes with what is there, and returns
// the demands that are left.
func (c *chooser) try(p *pkg, d *demand) (*demand, error) {
	if err := p.parse(); err != nil {
		return nil, err
	}
	no := func(q *pkg, where string) error {
		return fmt.Errorf("package %s: %s can't be installed together with %s%s", d.chain(), p, q, where)
	}
	if q := c.chosen[p.name]; q != nil {
		return nil, no(q, "")
	}
	for _, q := range sorted(c.chosen) {
		if p.clashes(q) {
			return nil, no(q, "")
		}
	}
	rest := d.next
	// newer demands a newer version of a package of the base that clashes
	// with p.
	newer := func(q *pkg) error {
		if len(c.named[q.name]) == 0 || c.compare(c.named[q.name][0].version, q.version) <= 0 {
			return no(q, ", which the base has, and there is no newer one")
		}
		rest = &demand{group{{name: q.name, op: ">>", version: q.version, compare: c.compare}}, p, d, rest}
		return nil
	}
	old := c.installed[p.name]
	c.chosen[p.name] = p
	for _, q := range slices.Backward(c.base) { // newer puts each before the one that follows
		if c.chosen[q.name] != nil {
			continue
		}
		stale := p.clashes(q)
		for _, g := range q.depends {
			stale = stale || old != nil && g.by(old) && !c.met(g)
		}
		if !stale {
			continue
		}
		if err := newer(q); err != nil {
			delete(c.chosen, p.name)
			return nil, err
		}
	}
	for _, g := range slices.Backward(p.depends) {
		rest = &demand{g, p, d, rest}
	}
	return rest, nil
}
