package targets

import (
	"errors"
	"fmt"
	"testing"

	"github.com/multimage/multimage/buildlib/bench"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"ghcr.io/acme/router: größer ✓ 漢字", "ghcr.io/acme/router: größer ✓ 漢字"},
		{"# pkg\nmain.go:1:2:\tundefined: x\n", "# pkg\nmain.go:1:2:\tundefined: x\n"},
		{"\x1b[31mred\x1b]0;title\a", `\x1b[31mred\x1b]0;title\x07`},
		{"\u009b31m", `\x9b31m`},
		{"a\x9bb\xff", `a\x9bb\xff`},
		{"over\rwritten\b\x7f\x00\v\f", `over\x0dwritten\x08\x7f\x00\x0b\x0c`},
		{"a\u202egnp.exe\u2066\u2069\u200f\u061c", `a\u202egnp.exe\u2066\u2069\u200f\u061c`},
		{"a\u2028b\u2029\u0085", `a\u2028b\u2029\x85`},
		{"\U000e0041", `\U000e0041`},
		{"::error::x", `\x3a:error::x`},
		{"x\n::add-mask::y", "x\n\\x3a:add-mask::y"},
		{"x\n \t::set-env name=a::y", "x\n \t\\x3a:set-env name=a::y"},
		{"[2001:db8::1]:443 std::string", "[2001:db8::1]:443 std::string"},
		{"x ##[error]y", `x \x23#[error]y`},
		{"x ##vso[task.setvariable variable=a]b", `x \x23#vso[task.setvariable variable=a]b`},
		{"###[x]", `#\x23#[x]`},
		{"## Heading", "## Heading"},
		{"\uFFFD", "\uFFFD"},
	} {
		if got := clean(tt.text); got != tt.want {
			t.Errorf("%q\ngot  %q\nwant %q", tt.text, got, tt.want)
		}
		if got := clean(tt.want); got != tt.want {
			t.Errorf("%q is clean, and becomes %q", tt.want, got)
		}
	}
	if got := cleanLine("a\n::error::b\tc"); got != `a\n\x3a:error::b c` {
		t.Errorf("got %q", got)
	}
}

// Whoever wraps a target still sees what kind of error it is, and mage its status.
func TestCleanedError(t *testing.T) {
	var inner *bench.Error
	err := cleaned(fmt.Errorf("a\x1bb: %w", &bench.Error{Status: 4}))
	outer, ok := err.(interface{ ExitStatus() int }) // as mage's main asks
	if !errors.As(err, &inner) || inner.Status != 4 || !ok || outer.ExitStatus() != 4 {
		t.Errorf("%#v: %v", err, inner)
	}
	if plain := errors.New("a: b"); cleaned(plain) != plain || cleaned(nil) != nil {
		t.Error("an error that is clean is another one")
	}
}
