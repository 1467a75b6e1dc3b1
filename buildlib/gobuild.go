package buildlib

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// withDefaults returns b with its unset fields taken from base.
func (b GoBuild) withDefaults(base GoBuild) GoBuild {
	return GoBuild{
		Tags:    first(b.Tags, base.Tags),
		Ldflags: cmp.Or(b.Ldflags, base.Ldflags),
		Flags:   first(b.Flags, base.Flags),
		Env:     first(b.Env, base.Env),
		CGO:     cmp.Or(b.CGO, base.CGO),
	}
}

// render returns b with its templates executed. Elements that render empty are kept,
// so that indexes stay the same; args and environ leave them out.
func (b GoBuild) render(f Facts) (GoBuild, error) {
	var failed error
	one := func(field, text string) string {
		out, err := render(text, f)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", field, err)
		}
		return out
	}
	all := func(field string, list []string) []string {
		out := make([]string, len(list))
		for i, text := range list {
			out[i] = one(fmt.Sprintf("%s[%d]", field, i), text)
		}
		return out
	}
	return GoBuild{
		Ldflags: one("Ldflags", b.Ldflags),
		Tags:    all("Tags", b.Tags),
		Flags:   all("Flags", b.Flags),
		Env:     all("Env", b.Env),
		CGO:     CGO{CC: one("CGO.CC", b.CGO.CC), CXX: one("CGO.CXX", b.CGO.CXX)},
	}, failed
}

// nonEmpty returns the elements that aren't empty.
func nonEmpty(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// args are go build's arguments for b. They keep paths of this machine out of
// binaries, and the state of the checkout, too: with it every main would be relinked
// at every commit, and would differ between shallow and full clones.
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

// environ is what b and p add to the go command's environment.
func (b GoBuild) environ(p Platform) []string {
	env := append(nonEmpty(b.Env), platformEnv(p)...)
	if !b.CGO.on() {
		return env
	}
	env = slices.DeleteFunc(env, func(v string) bool { return v == "CGO_ENABLED=0" })
	env = append(env, "CGO_ENABLED=1", "CC="+strings.TrimSpace(b.CGO.CC))
	if cxx := strings.TrimSpace(b.CGO.CXX); cxx != "" {
		env = append(env, "CXX="+cxx)
	}
	return env
}

// key identifies these settings. It is of the templates, so that another version in
// Ldflags doesn't change it.
func (b GoBuild) key() string {
	return shortHash(fmt.Sprintf("%q %q %q %q%s", b.Tags, b.Ldflags, b.Flags, b.Env, b.CGO.key()))[:12]
}

// folderKey names the kept folders of binaries that are built with these settings.
// It leaves out Ldflags: a magefile may put the commit there, which would leave a set
// of binaries per commit. If they change, go relinks.
func (b GoBuild) folderKey() string {
	return shortHash(fmt.Sprintf("%q %q %q%s", b.Tags, withoutLdflags(b.Flags), b.Env, b.CGO.key()))[:12]
}

// packageFlags identify the settings that change compiled packages: all but the
// linker's arguments. They are of the templates, as key is.
func (b GoBuild) packageFlags() string {
	return fmt.Sprintf("%q %q%s", b.Tags, withoutLdflags(b.Flags), b.CGO.key())
}

// on reports whether cgo is on. c's templates have been executed.
func (c CGO) on() bool {
	cc := strings.TrimSpace(c.CC)
	return cc != "" && cc != "off"
}

// key is what c adds to the keys of a GoBuild: nothing if it is zero.
func (c CGO) key() string {
	if c == (CGO{}) {
		return ""
	}
	return fmt.Sprintf(" %q %q", c.CC, c.CXX)
}

// withoutLdflags drops -ldflags, with one dash or two, and its value.
func withoutLdflags(flags []string) []string {
	var kept []string
	for i := 0; i < len(flags); i++ {
		switch {
		case gotool.FlagName(flags[i]) != "ldflags":
			kept = append(kept, flags[i])
		case !strings.Contains(flags[i], "="):
			i++ // the value is the next argument
		}
	}
	return kept
}

// refusedFlags are the flags of go build that conflict with what multimage does, and why.
var refusedFlags = map[string]string{
	"o":    "multimage chooses where binaries go: see Output",
	"C":    "set Dir instead",
	"n":    "it builds nothing: Plan.String says what would be built",
	"json": "multimage shows the compiler's text as it is",
}

// whyRefused says why a flag of go build is refused; empty if it isn't.
func whyRefused(flag string) string {
	name := gotool.FlagName(flag)
	_, value, joined := strings.Cut(flag, "=")
	switch name {
	case "race", "msan", "asan":
		if on, err := strconv.ParseBool(value); !joined || err == nil && on {
			return "it is for tests, and needs cgo: leave it out of what is published"
		}
	case "buildmode":
		if !slices.Contains([]string{"exe", "pie", "default"}, value) && !strings.Contains(value, "{{") {
			return "it does not make a program: multimage builds with -buildmode=exe, or =pie"
		}
	}
	return refusedFlags[name]
}

// shortHash is the start of a text's sha256, 16 hex digits.
func shortHash(text string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16]
}

// first returns the first list that is not nil.
func first(lists ...[]string) []string {
	for _, l := range lists {
		if l != nil {
			return l
		}
	}
	return nil
}
