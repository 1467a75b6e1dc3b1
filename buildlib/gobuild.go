package buildlib

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// over returns b with the fields that it doesn't set taken from base.
func (b GoBuild) over(base GoBuild) GoBuild {
	return GoBuild{
		Tags:    first(b.Tags, base.Tags),
		Ldflags: cmp.Or(b.Ldflags, base.Ldflags),
		Flags:   first(b.Flags, base.Flags),
		Env:     first(b.Env, base.Env),
	}
}

// render returns b with its templates executed. What renders empty stays, so
// that each has its place, and args and environ leave it out.
func (b GoBuild) render(f Facts) (out GoBuild, err error) {
	if out.Ldflags, err = render(b.Ldflags, f); err != nil {
		return out, fmt.Errorf("Ldflags: %w", err)
	}
	if out.Tags, err = renderAll("Tags", b.Tags, f); err != nil {
		return out, err
	}
	if out.Flags, err = renderAll("Flags", b.Flags, f); err != nil {
		return out, err
	}
	out.Env, err = renderAll("Env", b.Env, f)
	return out, err
}

func renderAll(field string, list []string, f Facts) ([]string, error) {
	out := make([]string, len(list))
	for i, text := range list {
		var err error
		if out[i], err = render(text, f); err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
	}
	return out, nil
}

// nonEmpty are the entries that didn't render empty.
func nonEmpty(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// args are go build's arguments for b. The paths of this machine stay out of
// binaries, and so does the state of the checkout: a stamp would relink every
// main at every commit, and differs between shallow and full clones.
func (b GoBuild) args() []string {
	args := []string{"-trimpath", "-buildvcs=false"}
	if tags := nonEmpty(b.Tags); len(tags) > 0 {
		args = append(args, "-tags="+strings.Join(tags, ","))
	}
	if b.Ldflags != "" {
		args = append(args, "-ldflags="+b.Ldflags)
	}
	return append(args, nonEmpty(b.Flags)...)
}

// environ is the go command's further environment for p.
func (b GoBuild) environ(p Platform) []string { return append(nonEmpty(b.Env), platformEnv(p)...) }

// key names what is built as b says, before its templates are executed: a
// version in Ldflags relinks, and keeps the folder.
func (b GoBuild) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", b.Tags, b.Ldflags, b.Flags, b.Env))
	return fmt.Sprintf("%x", sum[:6])
}

// folderKey names the kept folders of what is built as b says. Ldflags are not
// in it: a magefile may put the commit there, which would leave a set of
// binaries per commit. go relinks what was linked with others.
func (b GoBuild) folderKey() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", b.Tags, withoutLdflags(b.Flags), b.Env))
	return fmt.Sprintf("%x", sum[:6])
}

// packageFlags are what b says of compiling packages, before its templates are
// executed: all but the linker's arguments, which change no package.
func (b GoBuild) packageFlags() string {
	return fmt.Sprintf("%q %q", b.Tags, withoutLdflags(b.Flags))
}

// withoutLdflags drops -ldflags, with one dash or two, and its value.
func withoutLdflags(flags []string) []string {
	var kept []string
	for i := 0; i < len(flags); i++ {
		name, _, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(flags[i], "-"), "-"), "=")
		switch {
		case name != "ldflags" || !strings.HasPrefix(flags[i], "-"):
			kept = append(kept, flags[i])
		case !joined:
			i++ // the value is a word of its own
		}
	}
	return kept
}

// refusedFlags are those of go build that would take its output elsewhere.
var refusedFlags = map[string]string{
	"o":    "multimage chooses where binaries go: see Output",
	"C":    "set Dir instead",
	"n":    "it builds nothing: Plan.String says what would be built",
	"json": "multimage shows the compiler's text as it is",
}

// refused says why go build can't have the flag, if it can't.
func refused(flag string) string {
	name := gotool.FlagName(flag)
	_, value, joined := strings.Cut(flag, "=")
	switch name {
	case "race", "msan", "asan":
		if !joined || value == "true" || value == "1" {
			return "it is for tests, and needs cgo: leave it out of what is published"
		}
	case "buildmode":
		if !slices.Contains([]string{"exe", "pie", "default"}, value) && !strings.Contains(value, "{{") {
			return "it does not make a program: multimage builds with -buildmode=exe, or =pie"
		}
	}
	return refusedFlags[name]
}

// checkGOFLAGS notes what GOFLAGS, of the environment or go env -w, may not say,
// and reports whether that is nothing.
func (r *resolver) checkGOFLAGS() bool {
	before := len(r.mistakes)
	for _, flag := range gotool.SplitFlags(r.env.Flags) {
		if why := refused(flag); why != "" && gotool.FlagName(flag) != "o" { // go build is told another
			r.mistake("GOFLAGS", "%q is refused: %s (GOFLAGS comes from the environment, or from go env -w)", flag, why)
		}
	}
	return len(r.mistakes) == before
}

// warnOfGOFLAGS says what of GOFLAGS a field of the Project replaces.
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
			r.warn("GOFLAGS says %s, which the Project's Go.%s replaces for %s: say all of it there", flag, field, b.Name)
			break
		}
	}
}

// checkGoBuild notes what b may not say, nor on a platform render.
func (r *resolver) checkGoBuild(field string, b GoBuild, on []Platform) {
	r.checkRendered(field, b)
	for _, p := range on {
		if rendered, err := b.render(p.onto(r.tags)); err == nil {
			r.checkRendered(field, rendered)
		}
	}
}

func (r *resolver) checkRendered(field string, b GoBuild) {
	for i, flag := range b.Flags {
		if gotool.FlagName(flag) == "buildmode" && !strings.Contains(flag, "=") && i+1 < len(b.Flags) {
			flag += "=" + b.Flags[i+1]
		}
		if why := refused(flag); why != "" {
			r.mistake(fmt.Sprintf("%s.Flags[%d]", field, i), "%q is refused: %s", flag, why)
		}
	}
	for i, env := range b.Env {
		field := fmt.Sprintf("%s.Env[%d]", field, i)
		name, _, ok := strings.Cut(env, "=")
		switch {
		case env == "" || strings.Contains(env, "{{"): // rendered so, or not yet
		case !ok || name == "":
			r.mistake(field, "%q: want KEY=VALUE", env)
		case name == "CGO_ENABLED":
			r.mistake(field, "%q is refused: multimage compiles with CGO_ENABLED=0", env)
		case name == "GOTMPDIR":
			r.mistake(field, "%q is refused: multimage sets it", env)
		case slices.Contains(gotool.PlatformVariables(), name):
			r.mistake(field, "%q is refused: choose the platform in Platforms, like linux/arm/v6", env)
		}
	}
}

// renders notes what is wrong with b's templates on the platforms on, and
// reports whether that is nothing.
func (r *resolver) renders(field string, b GoBuild, on []Platform) bool {
	before := len(r.mistakes)
	for _, p := range on {
		if _, err := b.render(p.onto(r.tags)); err != nil {
			r.note(fmt.Errorf("%s.%w", field, err))
		}
	}
	return len(r.mistakes) == before
}

// compiles groups the binaries into calls of go build: those of one platform
// that are built alike and that go doesn't give one name. With equal names go
// would silently keep one of them.
func (r *resolver) compiles(binaries []binary) {
	r.checkOutputs(binaries)
	for _, p := range r.order(binaries) {
		var on []binary
		for _, b := range binaries {
			if b.on(p) {
				on = append(on, b)
			}
		}
		r.plan.Compiles = append(r.plan.Compiles, r.calls(p, on)...)
	}
}

// checkOutputs notes a binary that is called like the folder of a platform's: v3
// of linux/amd64 beside all of linux/amd64/v3.
func (r *resolver) checkOutputs(binaries []binary) {
	platforms := r.order(binaries)
	for _, b := range binaries {
		for _, p := range b.platforms {
			at := path.Join(p.String(), b.published(p))
			if slices.ContainsFunc(platforms, func(other Platform) bool { return strings.EqualFold(other.String(), at) }) {
				r.mistake(b.field+".Name", "%s is called like the folder of the binaries for %s, both being bin/%s: give it another Name", b.Name, at, at)
			}
		}
	}
}

// calls are those of go build that make the binaries for p.
func (r *resolver) calls(p Platform, binaries []binary) []Compile {
	var calls []Compile
	var keys []string // of calls
	folders := map[string]int{}
	for _, b := range binaries {
		key, name := b.build.key(), b.file(p)
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
				continue // noted by renders
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
	rendered, err := b.build.render(p.onto(r.tags))
	if err != nil {
		return nil, err
	}
	return &Compile{
		Platform:     p,
		Env:          rendered.environ(p),
		Args:         rendered.args(),
		PackageFlags: b.build.packageFlags(),
	}, nil
}

// order is every platform of the binaries: the Project's first, in its order.
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

// compilesFor keeps of the calls what is needed
// binary's name.
func compilesFor(calls []Compile, needed map[on]bool) []Compile {
	var kept []Compile
	for _, c := range calls {
		c.Mains = slices.DeleteFunc(slices.Clone(c.Mains), func(m Main) bool { return !needed[on{m.Binary, c.Platform}] })
		if len(c.Mains) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}
