package dockerfile

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f, err := Parse([]byte("\ufeff# syntax=docker/dockerfile:1\n# escape=`\r\nARG V=1\n\nFROM a:$V As Build\n" +
		"RUN --mount=type=cache,target=/c one `\n  # a comment\n\n  two\nCOPY <<A <<'B' /x/\na\nA\nb\nB\ncmd [\"a\", \"b c\"]\nFROM scratch\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Escape != '`' || len(f.Args) != 1 || len(f.Stages) != 2 || f.Stages[0].Name != "build" || f.Stages[0].From.Text != "a:$V" {
		t.Fatalf("got %+v", f)
	}
	got := f.Stages[0].Instructions
	want := []Instruction{
		{Line: 6, Name: "RUN", Flags: map[string]string{"mount": "type=cache,target=/c"}, Text: "one   two"},
		{Line: 10, Name: "COPY", Flags: map[string]string{}, Text: "<<A <<'B' /x/", Heredoc: "a\nb\n"},
		{Line: 15, Name: "CMD", Flags: map[string]string{}, Text: `["a", "b c"]`},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if list, ok := got[2].List(); !ok || !reflect.DeepEqual(list, []string{"a", "b c"}) {
		t.Errorf("got list %q", list)
	}
	for _, bad := range []string{"", "# nothing", "RUN a\nFROM b"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

// A here-document is a word of its own, as BuildKit reads it.
func TestHeredoc(t *testing.T) {
	for text, want := range map[string]string{
		"RUN cat <<E\na\n\tE\nE\nUSER b":        "a\n\tE\n",
		"RUN cat 3<<-\"E\" x\n\ta\n\tE\nUSER b": "\ta\n",
		"RUN cat <<< E\nUSER b":                 "",
		"RUN cat <<<E\nUSER b":                  "",
		"RUN echo $((a << b))\nUSER b":          "",
		"RUN echo a<<b\nUSER b":                 "",
	} {
		f, err := Parse([]byte("FROM a\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		list := f.Stages[0].Instructions
		if list[0].Heredoc != want || list[len(list)-1].Name != "USER" {
			t.Errorf("%q: got %+v", text, list)
		}
	}
}

func TestLexer(t *testing.T) {
	l := Lexer{Escape: '\\', Lookup: func(name string) string {
		return map[string]string{"A": "1", "E": "", "(date)": "now"}[name]
	}}
	for text, want := range map[string][][]string{
		`a "b $A" '$A' \$A c\ d ${A}x`:    {{"a", "b 1", "$A", "$A", "c d", "1x"}},
		`${E:-d} ${A:-d} ${E:+d} ${A:+d}`: {{"d", "1", "", "d"}},
		"a && b;c\nd | e # f\ng":          {{"a"}, {"b"}, {"c"}, {"d"}, {"e"}, {"g"}},
		"x -d \"$(date)\" `date`":         {{"x", "-d", "now", "now"}},
		"if [ -f a ]; then b; fi":         {{"if", "[", "-f", "a", "]"}, {"then", "b"}, {"fi"}},
		`a "" b`:                          {{"a", "", "b"}},
		"a \\\n b":                        {{"a", "b"}},
		"$":                               {{"$"}},
		"":                                nil,
	} {
		if got := l.Commands(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	pairs := map[string][][2]string{
		`A=1 B="x y" C=$A`: {{"A", "1"}, {"B", "x y"}, {"C", "1"}},
		`A  x y $A`:        {{"A", "x y 1"}},
	}
	for text, want := range pairs {
		if got := l.Pairs(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// Dockerfiles are of any quality: reading one neither panics nor hangs.
func FuzzParse(f *testing.F) {
	f.Add("FROM a\nRUN a \\\n b\nENV A=${B:-\"c\"} D='e'\nCOPY <<E /x\nE\n")
	f.Add("FROM a AS b\nLABEL a\nRUN $(a `b` \"")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err != nil {
			return
		}
		l := Lexer{Escape: file.Escape, Lookup: func(name string) string { return Unset + name }}
		for _, s := range file.Stages {
			for _, i := range s.Instructions {
				if i.Name != strings.ToUpper(i.Name) || i.Line < 1 {
					t.Errorf("instruction %+v", i)
				}
				l.Words(i.Text)
				l.Value(i.Text)
				l.Commands(i.Text + i.Heredoc)
				l.Pairs(i.Text)
			}
		}
	})
}
