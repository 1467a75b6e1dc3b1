package buildlib

import (
	"fmt"
	"slices"
	"strings"
)

// agree notes what was not the same on all machines, though it is on one: then
// the index is not the one that one machine would make.
func (m *merger) agree() {
	var refs []string
	bases := map[string]*variants{} // by reference
	var versions, settings variants
	for _, ip := range m.plan.ImagePlans {
		var builds variants
		for _, pp := range ip.Platforms {
			for _, f := range m.parts[on{ip.Name, pp.Platform}] {
				versions.add(f.Go.Version, f.path)
				settings.add(f.Go.Settings, f.path)
				builds.add(f.Go.Build, f.path)
				if f.Base == nil {
					continue
				}
				if bases[pp.Base] == nil {
					refs, bases[pp.Base] = append(refs, pp.Base), &variants{}
				}
				bases[pp.Base].add(f.Base.Index.String(), f.path)
			}
		}
		if builds.differ() {
			m.mistake("image %s: how its binaries are built (Go of the Project or Binary) is not the same for all platforms, but %s: push all of them with one configuration", ip.Name, builds)
		}
	}
	for _, ref := range refs {
		if bases[ref].differ() {
			m.mistake("base %s is not one base, but %s: name it by its digest, and run Builder.Push for all platforms again", ref, bases[ref])
		}
	}
	if versions.differ() {
		m.mistake("go is not of one version, but %s: install the same on all runners, or name it in go.mod's toolchain line, and run Builder.Push again where it is another", versions)
	}
	if settings.differ() {
		m.mistake("GOFLAGS, GOEXPERIMENT and GOFIPS140 were not the same on all runners, but %s: set them to the same values (go env prints them), and run Builder.Push again where they differ", settings)
	}
}

// variants are what records say of something that ought to be one, in the order
// found. The zero value is of no record.
type variants []variant

type variant struct {
	value string
	files []string
}

func (v *variants) add(value, file string) {
	i := slices.IndexFunc(*v, func(o variant) bool { return o.value == value })
	if i < 0 {
		i, *v = len(*v), append(*v, variant{value: value})
	}
	(*v)[i].files = append((*v)[i].files, file)
}

func (v variants) differ() bool { return len(v) > 1 }

// String lists each value with the files that say it.
func (v variants) String() string {
	list := make([]string, len(v))
	for i, o := range v {
		list[i] = fmt.Sprintf("%s in %s", o.value, strings.Join(o.files, ", "))
	}
	return strings.Join(list, "; ")
}
