package packages

import (
	"regexp"
	"slices"
	"strings"
)

// commands splits a script into simple commands and keywords, one per element.
// Here documents are left out; bad is the line where one can't be told.
func commands(script string) (list []string, bad string) {
	script = strings.ReplaceAll(script, "\\\n", " ")
	end, expands := "", false
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if end != "" {
			if line == end {
				end = ""
			} else if expands && (strings.Contains(line, "`") || strings.Contains(line, "$(")) {
				return nil, line
			}
			continue
		}
		var ok bool
		if end, expands, ok = hereDocument(line); !ok {
			return nil, line
		}
		parts, ok := split(line)
		if !ok {
			return nil, line
		}
		list = append(list, parts...)
	}
	if end != "" {
		return nil, "<<" + end
	}
	return list, ""
}

var heredoc = regexp.MustCompile(`<<(-?)\s*\\?['"]?(\w+)['"]?`)

// hereDocument returns the word that ends the here document that a line begins, or
// nothing, and whether the shell expands its text. ok is false if that can't be
// told.
func hereDocument(line string) (end string, expands, ok bool) {
	depths, _ := nesting(line)
	for _, at := range heredoc.FindAllStringSubmatchIndex(line, -1) {
		switch depth := depths[at[0]]; {
		case comment(line, depths) < at[0]:
			return "", false, true
		case depth > 0: // it may be a shift
			return "", false, false
		case depth == 0:
			return line[at[4]:at[5]], !strings.ContainsAny(line[at[0]:at[1]], `\'"`), true
		}
	}
	return "", false, true
}

// comment returns where a line's comment begins, or else the line's length.
func comment(line string, depths []int) int {
	for i, depth := range depths {
		if depth == 0 && line[i] == '#' && (i == 0 || strings.IndexByte(" \t;", line[i-1]) >= 0) {
			return i
		}
	}
	return len(line)
}

// nesting returns how deep each byte of a line is in parentheses, backquotes and
// ${...}, or -1 if it is quoted or escaped. closed is false if a quote isn't closed.
func nesting(line string) (depths []int, closed bool) {
	depths = make([]int, len(line))
	quote, depth, back, braces := byte(0), 0, false, 0
	for i := 0; i < len(line); i++ {
		c := line[i]
		depths[i] = depth
		switch {
		case c == '\\' && quote != '\'':
			depths[i] = -1
			if i++; i < len(line) {
				depths[i] = -1
			}
		case quote != 0:
			depths[i] = -1
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			depths[i], quote = -1, c
		case c == '`' && back:
			back, depth = false, max(0, depth-1)
		case c == '(' || c == '`':
			depth++
			depths[i], back = depth, back || c == '`'
		case c == ')':
			depth = max(0, depth-1)
		case c == '{' && i > 0 && line[i-1] == '$':
			depth, braces = depth+1, braces+1
		case c == '}' && braces > 0:
			depth, braces = max(0, depth-1), braces-1
		}
	}
	return depths, quote == 0 && !back
}

// split splits a line at ; outside of quotes, and keywords off what follows
// them.
func split(line string) (parts []string, ok bool) {
	start := 0
	add := func(part string) {
		part = strings.TrimSpace(part)
		for part != "" {
			word, rest, more := strings.Cut(part, " ")
			if !more || !slices.Contains([]string{"then", "else", "do", "{", "(", "!"}, word) {
				break
			}
			if word != "!" {
				parts = append(parts, word)
			}
			part = strings.TrimSpace(rest)
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	depths, closed := nesting(line)
	if end := comment(line, depths); end < len(line) {
		line, closed = line[:end], true // quotes in a comment need not be closed
	}
	for i, depth := range depths[:len(line)] {
		switch {
		case depth < 0 || i < start:
		case line[i] == ';' && depth == 0:
			add(line[start:i])
			if start = i + 1; start < len(line) && line[start] == ';' {
				parts = append(parts, ";;")
				start++
			}
		}
	}
	add(line[start:])
	return parts, closed
}

// connected splits at &&, ||, | and & outside of quotes. operators[i] follows
// parts[i].
func connected(line string) (parts, operators []string) {
	start := 0
	depths, _ := nesting(line)
	for i, depth := range depths {
		if depth != 0 || i < start {
			continue
		}
		c := line[i]
		redirects := i > 0 && strings.ContainsRune("<>", rune(line[i-1])) || i+1 < len(line) && line[i+1] == '>'
		if c == '|' || c == '&' && !redirects {
			parts = append(parts, strings.TrimSpace(line[start:i]))
			if start = i + 1; start < len(line) && line[start] == c {
				start++
			}
			operators = append(operators, line[i:start])
		}
	}
	return append(parts, strings.TrimSpace(line[start:])), operators
}

// silent matches redirections that write no file: of output to /dev/null or another
// descriptor, and of input.
var silent = regexp.MustCompile(`\s*(?:\d?>>?\s*(?:&\s*\d|/dev/null)|&>\s*/dev/null|<\s*\S+|<<-?\s*\S+|>&2)`)

// writes tells that a line, without silent redirections, redirects into a file.
func writes(line string) bool {
	depths, _ := nesting(line)
	for i, depth := range depths {
		if depth >= 0 && line[i] == '>' {
			return true
		}
	}
	return false
}

// firstWord splits a line after its first word, which may have spaces in quotes and
// parentheses.
func firstWord(line string) (word, rest string) {
	depths, _ := nesting(line)
	for i, depth := range depths {
		if depth == 0 && (line[i] == ' ' || line[i] == '\t') {
			return line[:i], strings.TrimSpace(line[i:])
		}
	}
	return line, ""
}

// substitutions are the commands in a line's $(...), backquotes and <(...), also
// those in quotes and nested ones. One that isn't closed goes to the line's end.
func substitutions(line string) (list []string) {
	inner := func(from, to int) {
		part := line[from:min(to, len(line))]
		list = append(list, part)
		list = append(list, substitutions(part)...)
	}
	single, double := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case single:
			single = c != '\''
		case c == '\\':
			i++
		case c == '\'' && !double:
			single = true
		case c == '"':
			double = !double
		case c == '`':
			to := i + 1
			for ; to < len(line) && line[to] != '`'; to++ {
				if line[to] == '\\' {
					to++
				}
			}
			inner(i+1, to)
			i = to
		case (c == '$' || !double && (c == '<' || c == '>')) && i+1 < len(line) && line[i+1] == '(':
			to := closing(line, i+1)
			inner(i+2, to)
			i = to
		}
	}
	return list
}

// closing returns where the parenthesis at i is closed, or else the line's length.
func closing(line string, i int) int {
	depth, quote := 0, byte(0)
	for ; i < len(line); i++ {
		switch c := line[i]; {
		case quote == '\'' && c != quote:
		case c == '\\':
			i++
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == 0 && c == '(':
			depth++
		case quote == 0 && c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(line)
}
