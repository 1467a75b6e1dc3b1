package packages

import (
	"slices"
	"strings"
	"testing"
)

// What a script would run: "needless" is known, everything else is not.
func TestShell(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"", ""},
		{"#!/bin/sh\nset -e\n# evil\nexit 0\nevil\n", ""},
		{"evil", "evil"},
		{"needless a b", ""},
		{"if [ \"$1\" = \"configure\" ]; then\n needless\nelse\n evil\nfi", ""},
		{"if [ \"$1\" != configure ]; then needless; else evil now; fi", "evil now"},
		{"if [ -n \"$2\" ]; then\n evil\nfi", ""},
		{"if [ configure = \"$1\" -a \"x$2\" != \"x\" ]; then evil; fi", ""},
		{"if evil --really; then :; fi", "evil --really"},
		{"if grep -q x /etc/passwd; then evil; fi", "evil"},
		{"case \"$1\" in\n upgrade|abort-upgrade)\n  evil ;;\n configure) needless;;\n *) evil\n ;;\nesac", ""},
		{"case $1 in conf*) evil;; esac", "evil"},
		{"f() {\n evil $1\n}\n", ""},
		{"f() {\n evil $1\n}\nf x\n", "f x"},
		{"echo hello > /etc/file", "echo hello > /etc/file"},
		{"echo \"hello\" > /etc/file", "echo \"hello\" > /etc/file"},
		{"echo \"a > b\" >&2", ""},
		{"needless >/dev/null 2>&1 || true", ""},
		{"cat > /etc/x <<EOF\nevil\nEOF\n", "cat > /etc/x <<EOF"},
		{"cat <<EOF\nevil\nEOF\n", ""},
		{"cat <<EOF | evil\nx\nEOF\n", "cat <<EOF | evil"},
		{"true && evil", "true && evil"},
		{"echo 'a\\' && evil", "echo 'a\\' && evil"}, // a backslash means nothing in single quotes
		{"echo `true` && evil", "echo `true` && evil"},
		{"true & evil", "true & evil"},
		{"true | evil", "true | evil"},
		{"true; evil", "evil"},
		{"X=1 evil", "X=1 evil"},
		{"X=$(evil)", "X=$(evil)"},
		{"X=`evil`", "X=`evil`"},
		{"X=$(grep a /etc/passwd)", ""},
		{"command evil", "command evil"},
		{"command -v evil >/dev/null", ""},
		{"find / -name x -delete", "find / -name x -delete"},
		{"for x in a b; do\n evil $x\ndone", "evil $x"},
		{"while read x; do needless; done < /etc/passwd", ""},
		{"eval evil", "eval evil"},
		{". /evil", ". /evil"},
		{"needless \\\n a; evil", "evil"},
		{"'evil'", "'evil'"},
		{"\"unclosed", "\"unclosed"},
		{"[ \"$1\" = upgrade ] && evil", ""},
		{"[ \"${X:-upgrade}\" = configure ] && evil", "[ \"${X:-upgrade}\" = configure ] && evil"},
	} {
		s := Shell{Args: []string{"configure"}, Do: func(words []string) bool { return slices.Contains([]string{"needless"}, words[0]) }}
		if got := s.Look(test.script); strings.TrimSpace(got) != test.want {
			t.Errorf("%q: would run %q, want %q", test.script, got, test.want)
		}
	}
}

func FuzzShell(f *testing.F) {
	f.Add("case $1 in\n a) b;;\nesac\nif x; then y; fi\nf() {\n}\n")
	f.Fuzz(func(t *testing.T, script string) {
		s := Shell{Do: func([]string) bool { return true }}
		s.Look(script) // ends, and doesn't panic
	})
}
