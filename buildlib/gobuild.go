package buildlib

import (
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
		Ldflags: or(b.Ldflags, base.Ldflags),
		Flags:   first(b.Flags, base.Flags),
		Env:     first(b.Env, base.Env),
	}
}

// render returns b with its templates executed.
func (b GoBuild) render(f Facts) (GoBuild, error) {
	out := GoBuild{Env: b.Env}
	var err error
	if out.Ldflags, err = render(b.Ldflags, f); err != nil {
		return out, fmt.Errorf("Ldflags: %w", err)
	}
	if out.Tags, err = renderAll("Tags", b.Tags, f); err != nil {
		return out, err
	}
	out.Flags, err = renderAll("Flags", b.Flags, f)
	return out, err
}

func renderAll(field string, list []string, f Facts) ([]string, error) {
	var out []string
	for i, text := range list {
		s, err := render(text, f)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// args are go build's arguments for b. The paths of this machine stay out of
// binaries, and so does the state of the checkout: a stamp would relink every
// main at every commit, and differs between shallow and full clones.
func (b GoBuild) args() []string {
	args := []string{"-trimpath", "-buildvcs=false"}
	if len(b.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(b.Tags, ","))
	}
	if b.Ldflags != "" {
		args = append(args, "-ldflags="+b.Ldflags)
	}
	return append(args, b.Flags...)
}

// key names what is built as b says, before its templates are executed: a
// version in Ldflags relinks, and keeps the folder.
func (b GoBuild) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", b.Tags, b.Ldflags, b.Flags, b.Env))
	return fmt.Sprintf("%x", sum[:6])
}

// manner is what b says of compiling packages, before its templates are
// executed: all but the linker's arguments, which change no package.
func (b GoBuild) manner() string {
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
	"n":    "it builds nothing: mage plan prints what would be built",
	"json": "multimage shows the compiler's text as it is",
}

// checkGoBuild notes what b may not say.
func (r *resolver) checkGoBuild(field string, b GoBuild) {
	for i, flag := range b.Flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(flag, "-"), "-"), "=")
		if why, ok := refusedFlags[name]; ok && strings.HasPrefix(flag, "-") {
			r.mistake(fmt.Sprintf("%s.Flags[%d]", field, i), "%q is refused: %s", flag, why)
		}
	}
	for i, env := range b.Env {
		field := fmt.Sprintf("%s.Env[%d]", field, i)
		name, _, ok := strings.Cut(env, "=")
		switch {
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
func (r *resolver) renders(field string, b GoBuild, on []platform) bool {
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
	for _, p := range r.order(binaries) {
		var groups []*Compile
		keys := map[*Compile]string{}
		for _, b := range binaries {
			if !b.on(p) {
				continue
			}
			key, name := b.go_.key(), b.file(p)
			at := slices.IndexFunc(groups, func(c *Compile) bool {
				return keys[c] == key && !slices.ContainsFunc(c.Mains, func(m Main) bool { return strings.EqualFold(m.file, name) })
			})
			if at < 0 {
				c, err := r.compile(p, b)
				if err != nil {
					continue // noted by renders
				}
				nth := 0
				for _, other := range groups {
					if keys[other] == key {
						nth++
					}
				}
				c.folder = path.Join(strings.ReplaceAll(p.folder(), "/", "-"), fmt.Sprintf("%s-%d", key, nth))
				at, groups, keys[c] = len(groups), append(groups, c), key
			}
			groups[at].Mains = append(groups[at].Mains, Main{
				Binary: b.Name, Package: b.importPath, file: name,
				Output: path.Join("bin", p.folder(), b.published(p)),
			})
		}
		for _, c := range groups {
			r.plan.Compiles = append(r.plan.Compiles, *c)
		}
	}
}

func (r *resolver) compile(p platform, b binary) (*Compile, error) {
	rendered, err := b.go_.render(p.onto(r.tags))
	if err != nil {
		return nil, err
	}
	return &Compile{
		Platform: p.name,
		Env:      append(slices.Clone(rendered.Env), p.env...),
		Args:     rendered.args(),
		manner:   b.go_.manner(),
	}, nil
}

// order is every platform of the binaries: the Project's first, in its order.
func (r *resolver) order(binaries []binary) []platform {
	all := slices.Clone(r.defaults)
	for _, b := range binaries {
		for _, p := range b.platforms {
			if !slices.ContainsFunc(all, p.is) {
				all = append(all, p)
			}
		}
	}
	return all
}

// compilesFor keeps of the calls what is needed: by platform, a space and the
// binary's name.
func compilesFor(calls []Compile, needed map[string]bool) []Compile {
	var kept []Compile
	for _, c := range calls {
		c.Mains = slices.DeleteFunc(slices.Clone(c.Mains), func(m Main) bool { return !needed[c.Platform+" "+m.Binary] })
		if len(c.Mains) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}
