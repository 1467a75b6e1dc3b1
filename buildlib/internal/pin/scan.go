package pin

import (
	"regexp"
	"strings"
)

// entry is KEY: VALUE of a mapping in block style, on one line.
type entry struct {
	line       int // from 1
	key        string
	column     int // of the key
	start, end int // of the value in the text, without quotes
	plain      bool
	simple     bool // whether the value is a string on this line, or missing
	value      string
}

// mapping has the entries of one mapping, in order.
type mapping []entry

func (m mapping) get(key string) (entry, bool) {
	for _, e := range m {
		if e.key == key {
			return e, true
		}
	}
	return entry{}, false
}

// keyed matches a key of a mapping, up to its value.
var keyed = regexp.MustCompile(`^("[^"]*"|'[^']*'|[\w./$-]+)[ \t]*:([ \t]+|$)`)

// properties are a node's tag and anchor, before its content.
var properties = regexp.MustCompile(`^(?:[!&]\S*[ \t]+)+`)

// scanner reads YAML line by line, and finds mappings in block style (YAML 1.2,
// chapter 8).
type scanner struct {
	all   []mapping
	open  []int // indexes of the mappings that the next line may continue
	block int   // column of the parent of the current block scalar; -1: none
	quote byte  // of the quoted scalar that continues on the next line; 0: none
}

// scan finds the mappings in a text. skipped are its empty lines, comments, and lines
// inside of scalars.
func scan(text string) (all []mapping, skipped map[int]bool) {
	s := scanner{block: -1}
	skipped = map[int]bool{}
	offset, n := 0, 0
	for line := range strings.Lines(text) {
		n++
		if !s.line(strings.TrimRight(line, "\r\n"), n, offset) {
			skipped[n] = true
		}
		offset += len(line)
	}
	return s.all, skipped
}

// line reads line n, which begins at offset, and reports whether it has structure.
func (s *scanner) line(line string, n, offset int) bool {
	at := len(line) - len(strings.TrimLeft(line, " "))
	rest := line[at:]
	switch {
	case s.quote != 0:
		if closing(rest, s.quote) >= 0 {
			s.quote = 0
		}
		return false
	case strings.TrimSpace(rest) == "":
		return false
	case s.block >= 0 && at > s.block:
		return false
	}
	s.block = -1
	if rest[0] == '#' {
		return false
	}
	if strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...") {
		s.open = nil
		return true
	}
	owner := at
	for rest == "-" || strings.HasPrefix(rest, "- ") {
		s.close(at + 1) // another element
		owner = at
		more := strings.TrimLeft(rest[1:], " ")
		at += len(rest) - len(more)
		rest = more
	}
	found := keyed.FindStringSubmatch(rest)
	if found == nil {
		s.scalar(rest, owner)
		return true
	}
	e := entry{line: n, key: strings.Trim(found[1], `"'`), column: at, start: offset + at + len(found[0])}
	s.value(&e, rest[len(found[0]):])
	s.close(at + 1)
	if len(s.open) > 0 && s.all[s.open[len(s.open)-1]][0].column == at {
		top := s.open[len(s.open)-1]
		s.all[top] = append(s.all[top], e)
		return true
	}
	s.open = append(s.open, len(s.all))
	s.all = append(s.all, mapping{e})
	return true
}

// close ends the mappings with keys at column or to the right of it.
func (s *scanner) close(column int) {
	for len(s.open) > 0 && s.all[s.open[len(s.open)-1]][0].column >= column {
		s.open = s.open[:len(s.open)-1]
	}
}

// scalar records that the following lines belong to the scalar rest, if they do.
func (s *scanner) scalar(rest string, owner int) {
	rest = properties.ReplaceAllString(rest, "")
	switch {
	case rest == "":
	case rest[0] == '|' || rest[0] == '>':
		s.block = owner
	case (rest[0] == '"' || rest[0] == '\'') && closing(rest[1:], rest[0]) < 0:
		s.quote = rest[0]
	}
}

// value reads the value of an entry.
func (s *scanner) value(e *entry, rest string) {
	s.scalar(rest, e.column)
	switch {
	case rest == "" || rest[0] == '#':
		e.end, e.simple, e.plain = e.start, true, true
	case rest[0] == '"' || rest[0] == '\'':
		if to := closing(rest[1:], rest[0]); to >= 0 {
			e.value, e.simple = rest[1:1+to], !strings.Contains(rest[1:1+to], `\`)
			e.start++
			e.end = e.start + to
		}
	case strings.IndexByte("{[&*!|>%@`", rest[0]) >= 0:
	default:
		if comment := strings.Index(rest, " #"); comment >= 0 {
			rest = rest[:comment]
		}
		e.value, e.plain = strings.TrimRight(rest, " \t"), true
		e.simple = !strings.HasSuffix(e.value, ",") // else this is a flow mapping on several lines
		e.end = e.start + len(e.value)
		if e.value == "null" || e.value == "~" {
			e.value = ""
		}
	}
}

// closing returns the index of the quote that ends a scalar, -1 if it isn't on this line.
func closing(rest string, quote byte) int {
	for i := 0; i < len(rest); i++ {
		switch {
		case quote == '"' && rest[i] == '\\':
			i++
		case rest[i] == quote && quote == '\'' && i+1 < len(rest) && rest[i+1] == quote:
			i++
		case rest[i] == quote:
			return i
		}
	}
	return -1
}
