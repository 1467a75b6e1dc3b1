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
		// What runs though it looks as if it didn't.
		{"X=$(grep $(evil) /etc/passwd)", "X=$(grep $(evil) /etc/passwd)"},
		{"X=$(grep $Y | evil)", "X=$(grep $Y | evil)"},
		{"X=$(cat a |\nevil)", "evil)"},
		{"X=$((1 + 2))", ""},
		{"X=$((1 + $(evil)))", "X=$((1 + $(evil)))"},
		{"needless $(evil)", "needless $(evil)"},
		{"needless < $(evil)", "needless < $(evil)"},
		{"cat <(evil)", "cat <(evil)"},
		{"X=$(dpkg --print-architecture)", ""},
		{"X=$(dpkg --configure x)", "X=$(dpkg --configure x)"},
		{"X=$(cat a>b)", "X=$(cat a>b)"},
		{"while evil; do needless; done", "evil"},
		{"for x in $(evil); do needless; done", "for x in $(evil)"},
		{"case $(evil) in a) needless;; esac", "case $(evil) in a) needless"},
		{"echo \"<<EOF\"\nevil\nEOF\n", "evil"},
		{"needless # <<EOF\nevil\nEOF\n", "evil"},
		{"X=$((1<<2))\nevil\n2\n", "X=$((1<<2))"},
		{"cat <<EOF\nno end", "<<EOF"},
		{"cat <<EOF\n$(evil)\nEOF\n", "$(evil)"},
		{"cat <<'EOF'\n$(evil)\nEOF\n", ""},
		{"if [ \"$1\" = upgrade ] && [ -z \"$2\" ] || [ \"$1\" = configure ]; then evil; fi", "evil"},
		{"if evil && [ a = b ]; then :; fi", "evil && [ a = b ]"},
		{"if [ x$1 = configure ]; then :; else evil; fi", "evil"},
		{"[ a = b ] | true && evil", "[ a = b ] | true && evil"},
		{"[ a = b ] && true & evil", "[ a = b ] && true & evil"},
		{"shift; [ \"$1\" = upgrade ] && evil", "[ \"$1\" = upgrade ] && evil"},
		{"set -- upgrade\n[ \"$1\" = upgrade ] && evil", "[ \"$1\" = upgrade ] && evil"},
		{"set -o pipefail\n[ \"$1\" = upgrade ] && evil", ""},
		{"X=a\nread X\n[ \"$X\" = b ] && evil", "[ \"$X\" = b ] && evil"},
		{"X=a\nunset X\n[ -z \"$X\" ] && evil", "[ -z \"$X\" ] && evil"},
		{"if grep -q x /y; then X=a; fi\n[ -z \"$X\" ] && evil", "[ -z \"$X\" ] && evil"},
		{"X=a\n[ \"$X\" = b ] && evil", ""},
		{"grep -q x /y && X=a\n[ -z \"$X\" ] && evil", "[ -z \"$X\" ] && evil"},
		{"X=a\nfor y in 1 2; do [ \"$X\" = b ] && evil; X=b; done", "[ \"$X\" = b ] && evil"},
		{"awk 'BEGIN{system(\"evil\")}'", "awk 'BEGIN{system(\"evil\")}'"},
		{"sed 's/a/b/w /etc/x' y", "sed 's/a/b/w /etc/x' y"},
		{"sed 's/a/b/' y", ""},
		{"sort -o x y", "sort -o x y"},
		{"find / -fprintf x y", "find / -fprintf x y"},
		{"sed 's|a|b|w /etc/x' y", "sed 's|a|b|w /etc/x' y"},
		{"sed 's,a,b,Ie' y", "sed 's,a,b,Ie' y"},
		{"sed -n -e 's/a/b/p' /etc/hostname", ""},
		{"sed -En '/if/p' y", ""},
		{"sed -ri 's/a/b/' y", "sed -ri 's/a/b/' y"},
		{"sed -n --in 's/a/b/' y", "sed -n --in 's/a/b/' y"},
		{"sed -nf x y", "sed -nf x y"},
		{"sed '/a/{w/etc/x' y", "sed '/a/{w/etc/x' y"},
		{"sort -uo x y", "sort -uo x y"},
		{"sort -rn y", ""},
		{"awk -i inplace '{print}' y", "awk -i inplace '{print}' y"},
		{"awk -f x y", "awk -f x y"},
		{"awk -F: '{print $1}' y", ""},
		{"X=/etc/y\ncase $X in /*) evil;; esac", "evil"},
		{"X=b\ncase $X in [!a]) evil;; esac", "evil"},
		{"X=ab\ncase $X in \"a\"*) evil;; esac", "evil"},
		{"X=b\ncase $X in \"*\") needless;; *) evil;; esac", "evil"},
		{"X=b\ncase $X in a|\"b\") needless;; *) evil;; esac", ""},
		{"if [ x = \"x||y\" ]; then needless; else evil; fi", "evil"},
		{"if [ x = y ] &&\n [ a = b ]; then evil; fi", ""},
		{"if [ x = y ] ||\n [ a = a ]; then evil; fi", "evil"},
		{"if [ x = y ]; [ a = a ]; then evil; fi", "evil"},
		{"if [ x = y ]; evil; then :; fi", "evil"},
		{"grep() {\n evil\n}\nX=$(grep x y)", "X=$(grep x y)"},
		{"f() {\n local X=a\n}\nf\n[ -z \"$X\" ] && evil", "[ -z \"$X\" ] && evil"},
		{"f() {\n local X=a\n [ \"$X\" = b ] && evil\n}\nf\n", ""},
		{"( exit 0 ); evil", "evil"},
		{"( exit 0\n)\nevil", "evil"},
		{"(\nexit 0\n)\nevil", "evil"},
		{"(true\nexit 0\n)\nevil", "evil"},
		{"exit 0 | true\nevil", "evil"},
		{"exit 0 &\nevil", "evil"},
		{"(true)\nexit 0\nevil", ""},
		{"needless ${X%% #*}; evil", "evil"},
		{"needless ${X:-a;b} # it's\n", ""},
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
