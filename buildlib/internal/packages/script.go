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

// nesting says of each byte of a line how deep it is in parentheses and
// backquotes, and -1 if it is in quotes or escaped. closed is false if a quote
// isn't closed.
func nesting(line string) (depths []int, closed bool) {
	depths = make([]int, len(line))
	quote, depth, back := byte(0), 0, false
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
			if word != "(" && word != "!" {
				parts = append(parts, word)
			}
			part = strings.TrimSpace(rest)
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	depths, closed := nesting(line)
	for i, depth := range depths {
		switch {
		case depth < 0 || i < start:
		case line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			add(line[start:i]) // quotes in a comment need not be closed
			return parts, true
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

// connected splits at &&, || and | outside of quotes.
func connected(line string) (parts []string) {
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
		}
	}
	return append(parts, strings.TrimSpace(line[start:]))
}

// writes tells that a line, without what is silent, redirects into a file.
func writes(line string) bool {
	depths, _ := nesting(line)
	for i, depth := range depths {
		if depth >= 0 && line[i] == '>' {
			return true
		}
	}
	return false
}

// firstWord splits a line after its first word, in which there may be spaces in
// quotes and parentheses.
func firstWord(line string) (word, rest string) {
	depths, _ := nesting(line)
	for i, depth := range depths {
		if depth == 0 && (line[i] == ' ' || line[i] == '\t') {
			return line[:i], strings.TrimSpace(line[i:])
		}
	}
	return line, ""
}
