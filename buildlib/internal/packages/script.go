package packages

import (
	"slices"
	"strings"
)

// commands splits a script into simple commands and the words that hold them
// together, one an element. Here documents are left out.
func commands(script string) (list []string, bad string) {
	script = strings.ReplaceAll(script, "\\\n", " ")
	end := ""
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if end != "" {
			if line == end {
				end = ""
			}
			continue
		}
		if m := heredoc.FindStringSubmatch(line); m != nil && !strings.HasPrefix(line, "#") {
			end = m[2]
		}
		parts, ok := split(line)
		if !ok {
			return nil, line
		}
		list = append(list, parts...)
	}
	return list, ""
}

// split splits a line at ; outside of quotes, and keywords off what follows
// them.
func split(line string) (parts []string, ok bool) {
	quote, depth, start := byte(0), 0, 0
	add := func(part string) {
		part = strings.TrimSpace(part)
		for part != "" {
			word, rest, more := strings.Cut(part, " ")
			if !more || !slices.Contains([]string{"then", "else", "do", "{", "(", "!"}, word) {
				break
			}
			if word != "(" && word != "!" {
				parts = append(parts, word)
			}
			part = strings.TrimSpace(rest)
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth = max(0, depth-1)
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			add(line[start:i])
			return parts, true
		case c == ';' && depth == 0:
			if i+1 < len(line) && line[i+1] == ';' {
				add(line[start:i])
				parts = append(parts, ";;")
				i++
				start = i + 1
				continue
			}
			add(line[start:i])
			start = i + 1
		}
	}
	add(line[start:])
	return parts, quote == 0
}

// connected splits at &&, || and | outside of quotes.
func connected(line string) (parts []string) {
	quote, depth, start := byte(0), 0, 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth <= 0 && (c == '|' || c == '&' && !(i > 0 && strings.ContainsRune("<>", rune(line[i-1])) || i+1 < len(line) && line[i+1] == '>')):
			parts = append(parts, strings.TrimSpace(line[start:i]))
			if i+1 < len(line) && line[i+1] == c {
				i++
			}
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(line[start:]))
}

// writes tells that a line, without what is silent, redirects into a file.
func writes(line string) bool {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '>':
			return true
		}
	}
	return false
}

// firstWord splits a line after its first word, in which there may be spaces in
// quotes and parentheses.
func firstWord(line string) (word, rest string) {
	quote, depth := byte(0), 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case (c == ' ' || c == '\t') && depth <= 0:
			return line[:i], strings.TrimSpace(line[i:])
		}
	}
	return line, ""
}
