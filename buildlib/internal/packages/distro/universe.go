package distro

import (
	"cmp"
	"slices"
	"strings"
)

// universe is all packages that can be chosen.
type universe struct {
	compare  func(a, b string) int // versions
	named    map[string][]*pkg     // by name, the newest version first
	provided map[string][]*pkg     // by what they provide
	// companions are packages with an install_if, by name and newest first.
	companions []*pkg
}

func newUniverse(compare func(a, b string) int) *universe {
	return &universe{compare: compare, named: map[string][]*pkg{}, provided: map[string][]*pkg{}}
}

func (u *universe) add(p *pkg) {
	u.named[p.name] = append(u.named[p.name], p)
	if len(p.installIf) > 0 {
		u.companions = append(u.companions, p)
	}
	for _, given := range p.provides {
		u.provided[given.name] = append(u.provided[given.name], p)
	}
}

// sort puts the best first: the newest version of a name, the most important of
// its providers.
func (u *universe) sort() {
	newest := func(a, b *pkg) int {
		if a.last != b.last {
			if a.last {
				return 1
			}
			return -1
		}
		return u.compare(b.version, a.version)
	}
	slices.SortStableFunc(u.companions, func(a, b *pkg) int { return cmp.Or(strings.Compare(a.name, b.name), newest(a, b)) })
	for _, list := range u.named {
		slices.SortStableFunc(list, newest)
	}
	for _, list := range u.provided {
		slices.SortStableFunc(list, func(a, b *pkg) int {
			if a.name == b.name {
				return newest(a, b)
			}
			return cmp.Or(a.rank-b.rank, strings.Compare(a.name, b.name))
		})
	}
}
