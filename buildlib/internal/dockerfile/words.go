package dockerfile

import (
	"strings"
)

// Lexer divides text into words, as BuildKit does for an instruction, or a shell for a
// RUN.
type Lexer struct {
	Escape byte
	// Lookup returns the value of a variable, or the output of a command if name is a
	// command in parentheses.
	Lookup func(name string) string
}

// Words returns the words of an instruction, without quotes and with variables replaced.
func (l Lexer) Words(text string) []string {
	s := scanner{Lexer: l, text: text}
	s.scan()
	if len(s.commands) == 0 {
		return nil
	}
	return s.commands[0]
}

// Value returns text as one word, with its spaces.
func (l Lexer) Value(text string) string {
	s := scanner{Lexer: l, text: text, spaces: true}
	s.scan()
	if len(s.commands) == 0 {
		return ""
	}
	return s.commands[0][0]
}

// Commands returns the commands in a shell's text, each as its words.
func (l Lexer) Commands(text string) [][]string {
	s := scanner{Lexer: l, text: text, operators: true}
	s.scan()
	return s.commands
}

// Pairs returns the keys and values of ENV or LABEL: KEY=VALUE words, or one KEY with
// the rest of the line as its value.
func (l Lexer) Pairs(text string) [][2]string {
	key, rest, _ := cutSpace(text)
	if !strings.Contains(key, "=") {
		return [][2]string{{strings.Trim(key, `"`), l.Value(rest)}}
	}
	var pairs [][2]string
	for _, word := range l.Words(text) {
		key, value, _ := strings.Cut(word, "=")
		pairs = append(pairs, [2]string{key, value})
	}
	return pairs
}

type scanner struct {
	Lexer
	text      string
	at        int
	operators bool // whether ; & | and line ends separate commands
	spaces    bool // whether spaces are part of a word

	word     strings.Builder
	inWord   bool
	fresh    bool // whether the next word begins a command
	commands [][]string
}

func (s *scanner) scan() {
	s.fresh = true
	quote := byte(0)
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == s.Escape && quote != '\'' && s.at < len(s.text):
			next := s.text[s.at]
			s.at++
			switch {
			case next == '\n': // a shell's continued line
			case quote == '"' && next != '"' && next != '$' && next != s.Escape:
				s.add(string([]byte{c, next}))
			default:
				s.add(string(next))
			}
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
			s.inWord = true
		case c == '$' && quote != '\'':
			s.variable()
		case c == '`' && s.operators && quote != '\'':
			s.add(s.Lookup("(" + s.until('`') + ")"))
		case quote != 0 || s.spaces:
			s.add(string(c))
		case s.operators && (c == ';' || c == '&' || c == '|' || c == '\n' || c == '(' || c == ')'):
			s.end()
			s.fresh = true
		case s.operators && c == '#' && !s.inWord:
			s.until('\n')
			s.end()
			s.fresh = true
		case c == ' ' || c == '\t' || c == '\n':
			s.end()
		default:
			s.add(string(c))
		}
	}
	s.end()
}

func (s *scanner) add(text string) { s.word.WriteString(text); s.inWord = true }

func (s *scanner) end() {
	if !s.inWord {
		return
	}
	if s.fresh {
		s.commands, s.fresh = append(s.commands, nil), false
	}
	last := &s.commands[len(s.commands)-1]
	*last = append(*last, s.word.String())
	s.word.Reset()
	s.inWord = false
}

// until returns the text up to the next c, and skips both.
func (s *scanner) until(c byte) string {
	rest := s.text[s.at:]
	end := strings.IndexByte(rest, c)
	if end < 0 {
		s.at = len(s.text)
		return rest
	}
	s.at += end + 1
	return rest[:end]
}

// enclosed returns the text up to the bracket that closes the last one, and skips both.
func (s *scanner) enclosed(open, closing byte) string {
	from, depth := s.at, 1
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case open:
			depth++
		case closing:
			if depth--; depth == 0 {
				s.at++
				return s.text[from : s.at-1]
			}
		}
	}
	return s.text[from:]
}

// variable reads what follows a $: NAME, {NAME}, {NAME:-default}, {NAME:+other},
// (command).
func (s *scanner) variable() {
	if s.at == len(s.text) {
		s.add("$")
		return
	}
	switch c := s.text[s.at]; {
	case c == '(' && s.operators:
		s.at++
		s.add(s.Lookup("(" + s.enclosed('(', ')') + ")"))
	case c == '{':
		s.at++
		inner := s.enclosed('{', '}')
		end := 0
		for end < len(inner) && isName(inner[end]) {
			end++
		}
		value, rest := s.Lookup(inner[:end]), inner[end:]
		given := strings.TrimPrefix(rest, ":")
		switch {
		case strings.HasPrefix(given, "-") && unknown(value):
			value = s.Value(given[1:])
		case strings.HasPrefix(given, "+") && !unknown(value):
			value = s.Value(given[1:])
		case strings.HasPrefix(given, "+"):
			value = ""
		}
		s.add(value)
	case isName(c):
		from := s.at
		for s.at < len(s.text) && isName(s.text[s.at]) {
			s.at++
		}
		s.add(s.Lookup(s.text[from:s.at]))
	default:
		s.add("$")
	}
}

func isName(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Unset is the prefix of what Lookup returns for a variable without a known value.
const Unset = "\ue002"

func unknown(value string) bool { return value == "" || strings.HasPrefix(value, Unset) }
