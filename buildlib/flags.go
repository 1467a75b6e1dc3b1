package buildlib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// checkGOFLAGS notes refused flags in GOFLAGS, from the environment or go env -w, and
// reports whether there are none.
func (r *resolver) checkGOFLAGS() bool {
	before := len(r.mistakes)
	for _, flag := range gotool.SplitFlags(r.env.Flags) {
		if why := whyRefused(flag); why != "" && gotool.FlagName(flag) != "o" { // multimage's own -o overrides it
			r.mistake("GOFLAGS", "%q is refused: %s (GOFLAGS comes from the environment, or from go env -w)", flag, why)
		}
	}
	return len(r.mistakes) == before
}

// checkGoBuild notes what is refused in b, as it is written and as it is rendered.
func (r *resolver) checkGoBuild(field string, b GoBuild, on []Platform) {
	r.checkRendered(field, b)
	for _, p := range on {
		if rendered, err := b.render(r.facts.forPlatform(p)); err == nil {
			r.checkRendered(field, rendered)
		}
	}
}

func (r *resolver) checkRendered(field string, b GoBuild) {
	for i, flag := range b.Flags {
		if gotool.FlagName(flag) == "buildmode" && !strings.Contains(flag, "=") && i+1 < len(b.Flags) {
			flag += "=" + b.Flags[i+1]
		}
		if why := whyRefused(flag); why != "" {
			r.mistake(fmt.Sprintf("%s.Flags[%d]", field, i), "%q is refused: %s", flag, why)
		}
	}
	for i, env := range b.Env {
		field := fmt.Sprintf("%s.Env[%d]", field, i)
		name, _, ok := strings.Cut(env, "=")
		switch {
		case env == "" || strings.Contains(env, "{{"): // it rendered empty, or isn't rendered yet
		case !ok || name == "":
			r.mistake(field, "%q: want KEY=VALUE", env)
		case name == "CGO_ENABLED":
			r.mistake(field, "%q is refused: name the C compilers in CGO, which turns cgo on, or leave both out", env)
		case name == "GOTMPDIR":
			r.mistake(field, "%q is refused: multimage sets it", env)
		case slices.Contains(gotool.PlatformVariables(), name):
			r.mistake(field, "%q is refused: choose the platform in Platforms, like linux/arm/v6", env)
		}
	}
}

// checkTemplates notes mistakes in b's templates on the platforms on, and reports whether
// there are none.
func (r *resolver) checkTemplates(field string, b GoBuild, on []Platform) bool {
	before := len(r.mistakes)
	for _, p := range on {
		if _, err := b.render(r.facts.forPlatform(p)); err != nil {
			r.note(fmt.Errorf("%s.%w", field, err))
		}
	}
	return len(r.mistakes) == before
}
