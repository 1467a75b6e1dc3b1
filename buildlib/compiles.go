package buildlib

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// warnOfGOFLAGS warns of flags in GOFLAGS that a field of the Project replaces.
func (r *resolver) warnOfGOFLAGS(binaries []binary) {
	for _, flag := range gotool.SplitFlags(r.env.Flags) {
		for _, b := range binaries {
			field := ""
			switch name := gotool.FlagName(flag); {
			case name == "tags" && len(b.build.Tags) > 0:
				field = "Tags"
			case name == "ldflags" && b.build.Ldflags != "":
				field = "Ldflags"
			default:
				continue
			}
			r.warn("GOFLAGS has %s, which the Project's Go.%s replaces for %s: put all of it there", flag, field, b.Name)
			break
		}
	}
}

// compiles groups the binaries into calls of go build: one call builds binaries for one
// platform with the same settings and different executable names. Of equal names go
// would silently keep only one.
func (r *resolver) compiles(binaries []binary) {
	r.checkOutputs(binaries)
	for _, p := range r.order(binaries) {
		r.plan.Compiles = append(r.plan.Compiles, r.calls(p, binariesFor(binaries, p))...)
	}
}

// binariesFor returns those of the binaries that are built for p.
func binariesFor(binaries []binary, p Platform) []binary {
	return slices.DeleteFunc(slices.Clone(binaries), func(b binary) bool { return !b.on(p) })
}

// suffix is what the go command appends to an executable's name (go help build).
func suffix(p Platform) string {
	if p.OS == "windows" {
		return ".exe"
	}
	return ""
}

// file is the name that go gives the executable for p, and published the one that it
// has in Output.
func (b binary) file(p Platform) string      { return gotool.ExecutableName(b.importPath) + suffix(p) }
func (b binary) published(p Platform) string { return b.Name + suffix(p) }

// checkOutputs notes a binary with the path of another platform's folder: v3 for
// linux/amd64, if there are binaries for linux/amd64/v3.
func (r *resolver) checkOutputs(binaries []binary) {
	platforms := r.order(binaries)
	for _, b := range binaries {
		for _, p := range b.platforms {
			at := path.Join(p.String(), b.published(p))
			if slices.ContainsFunc(platforms, func(other Platform) bool { return strings.EqualFold(other.String(), at) }) {
				r.mistake(b.field+".Name", "%s has the same path as the folder of the binaries for %s, bin/%s: give it another Name", b.Name, at, at)
			}
		}
	}
}

// calls returns the calls of go build that make the binaries for p.
func (r *resolver) calls(p Platform, binaries []binary) []Compile {
	var calls []Compile
	var keys []string // of calls
	folders := map[string]int{}
	for _, b := range binaries {
		key, name := b.module+" "+b.build.key(), b.file(p)
		at := -1
		for i, c := range calls {
			if keys[i] != key {
				continue
			}
			if !slices.ContainsFunc(c.Mains, func(m Main) bool { return strings.EqualFold(m.File, name) }) {
				at = i
				break
			}
		}
		if at < 0 {
			c, err := r.compile(p, b)
			if err != nil {
				continue // noted by checkTemplates
			}
			kept := b.build.folderKey()
			c.Folder = path.Join(strings.ReplaceAll(p.String(), "/", "-"), fmt.Sprintf("%s-%d", kept, folders[kept]))
			folders[kept]++
			at, calls, keys = len(calls), append(calls, *c), append(keys, key)
		}
		calls[at].Mains = append(calls[at].Mains, Main{
			Binary: b.Name, Package: b.importPath, File: name,
			Output: path.Join("bin", p.String(), b.published(p)),
		})
	}
	return calls
}

func (r *resolver) compile(p Platform, b binary) (*Compile, error) {
	rendered, err := b.build.render(r.facts.forPlatform(p))
	if err != nil {
		return nil, err
	}
	return &Compile{
		Platform:     p,
		Module:       b.module,
		Env:          rendered.environ(p),
		Args:         rendered.args(),
		PackageFlags: b.build.packageFlags(),
	}, nil
}

// order is a new list of every platform of the binaries: the Project's first, in its
// order.
func (r *resolver) order(binaries []binary) []Platform {
	all := slices.Clone(r.defaults)
	for _, b := range binaries {
		for _, p := range b.platforms {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}
