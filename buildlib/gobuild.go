package buildlib

import (
	"cmp"
	"crypto/sha256"
	"fmt"
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
		CGO:     cmp.Or(b.CGO, base.CGO),
	}
}

// render returns b with its templates executed. What renders empty stays, so
// that each has its place, and args and environ leave it out.
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

// key names what is built as b says, before its templates are executed: a
// version in Ldflags relinks, and keeps the folder.
func (b GoBuild) key() string {
	return shortHash(fmt.Sprintf("%q %q %q %q%s", b.Tags, b.Ldflags, b.Flags, b.Env, b.CGO.key()))[:12]
}

// folderKey names the kept folders of what is built as b says. Ldflags are not
// in it: a magefile may put the commit there, which would leave a set of
// binaries per commit. go relinks what was linked with others.
func (b GoBuild) folderKey() string {
	return shortHash(fmt.Sprintf("%q %q %q%s", b.Tags, withoutLdflags(b.Flags), b.Env, b.CGO.key()))[:12]
}

// packageFlags are what b says of compiling packages, before its templates are
// executed: all but the linker's arguments, which change no package.
func (b GoBuild) packageFlags() string {
	return fmt.Sprintf("%q %q%s", b.Tags, withoutLdflags(b.Flags), b.CGO.key())
}

// on reports whether cgo is on, once its templates are executed.
func (c CGO) on() bool {
	cc := strings.TrimSpace(c.CC)
	return cc != "" && cc != "off"
}

// key is what C compilers add to the names of what they compile; nothing without.
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

// shortHash is a name for a text of any length: the start of its sha256, in hex.
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
