// Package dockerfile reads Dockerfiles: dockerfile.go divides one into stages and
// instructions, and words.go their text into words and commands; images.go finds the
// images that one builds on, and context.go the files.
//
// It knows only the format (https://docs.docker.com/reference/dockerfile). BuildKit's
// own parser would bring its module's go directive and requirements to every module
// that depends on this one.
package dockerfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// File is a Dockerfile.
type File struct {
	Args   []Instruction // before the first FROM
	Stages []Stage
	Escape byte // the escape character, \ unless a directive says `
}

// Stage is one FROM and the instructions that follow it.
type Stage struct {
	Name         string // after AS, in lower case; may be empty
	From         Instruction
	Instructions []Instruction // without From
}

// Instruction is one instruction, its continued lines joined.
type Instruction struct {
	Line  int               // where it begins, from 1
	Name  string            // in upper case: COPY
	Flags map[string]string // --from=build; empty without a value; values of the same flag are joined by a space
	Text  string            // what follows the flags, unchanged
	// Heredoc is the content of its here-documents; Text names them.
	Heredoc string
}

func (i Instruction) String() string { return strings.TrimSpace(i.Name + " " + i.Text) }

// List returns the elements of Text in exec form, a JSON list of strings, and whether it
// has that form.
func (i Instruction) List() ([]string, bool) {
	var list []string
	err := json.Unmarshal([]byte(i.Text), &list)
	return list, err == nil && list != nil
}

var (
	directive = regexp.MustCompile(`^#\s*([A-Za-z]+)\s*=\s*(\S+)\s*$`)
	heredoc   = regexp.MustCompile(`^\d*<<(-?)["']?([^<"']+)["']?$`)
	flag      = regexp.MustCompile(`^--([a-z-]+)(?:=("[^"]*"|\S*))?\s*`)
	stageName = regexp.MustCompile(`(?i)^(\S+)\s+AS\s+(\S+)$`)
)

// Parse reads a Dockerfile. Unknown instructions are not an error.
func Parse(data []byte) (File, error) {
	f := File{Escape: '\\'}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	at := 0
	for ; at < len(lines); at++ { // parser directives come first
		m := directive.FindStringSubmatch(lines[at])
		if m == nil {
			break
		}
		if strings.EqualFold(m[1], "escape") && m[2] == "`" {
			f.Escape = '`'
		}
	}
	for at < len(lines) {
		if blank(lines[at]) {
			at++
			continue
		}
		var i Instruction
		i, at = f.instruction(lines, at)
		switch {
		case i.Name == "FROM":
			s := Stage{From: i}
			if m := stageName.FindStringSubmatch(i.Text); m != nil {
				s.From.Text, s.Name = m[1], strings.ToLower(m[2])
			}
			f.Stages = append(f.Stages, s)
		case len(f.Stages) > 0:
			last := &f.Stages[len(f.Stages)-1]
			last.Instructions = append(last.Instructions, i)
		case i.Name == "ARG":
			f.Args = append(f.Args, i)
		default:
			return f, fmt.Errorf("line %d: %s is before the first FROM", i.Line, i.Name)
		}
	}
	if len(f.Stages) == 0 {
		return f, errors.New("it has no FROM")
	}
	return f, nil
}

// blank reports whether a line is empty or a comment. Instructions may go on after one.
func blank(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

// instruction reads the instruction at a line, and returns the index of the line after
// it.
func (f File) instruction(lines []string, at int) (Instruction, int) {
	i := Instruction{Line: at + 1, Flags: map[string]string{}}
	var text strings.Builder
	for first := true; at < len(lines); first = false {
		line := lines[at]
		at++
		if !first && blank(line) {
			continue
		}
		trimmed := strings.TrimRight(line, " \t")
		cut, continued := strings.CutSuffix(trimmed, string(f.Escape))
		text.WriteString(cut)
		if !continued {
			break
		}
	}
	name, rest, _ := cutSpace(strings.TrimSpace(text.String()))
	i.Name = strings.ToUpper(name)
	for {
		m := flag.FindStringSubmatch(rest)
		if m == nil || i.Name == "ENV" || i.Name == "LABEL" || i.Name == "CMD" || i.Name == "ENTRYPOINT" {
			break
		}
		value := strings.Trim(m[2], `"`)
		if other, ok := i.Flags[m[1]]; ok {
			value = other + " " + value
		}
		i.Flags[m[1]] = value
		rest = rest[len(m[0]):]
	}
	i.Text = strings.TrimSpace(rest)
	if i.Name == "RUN" || i.Name == "COPY" || i.Name == "ADD" {
		for word := range strings.FieldsSeq(i.Text) {
			m := heredoc.FindStringSubmatch(word)
			if m == nil {
				continue
			}
			indent := ""
			if m[1] == "-" {
				indent = "\t"
			}
			for at < len(lines) && strings.TrimLeft(lines[at], indent) != m[2] {
				i.Heredoc += lines[at] + "\n"
				at++
			}
			at++ // the line that ends it
		}
	}
	return i, at
}

// cutSpace cuts s at its first white space.
func cutSpace(s string) (before, after string, found bool) {
	if at := strings.IndexAny(s, " \t"); at >= 0 {
		return s[:at], strings.TrimLeft(s[at:], " \t"), true
	}
	return s, "", false
}
