// Package dockerfile reads Dockerfiles: dockerfile.go takes one apart into
// stages and instructions, words.go their text into words and commands; images.go
// finds the images that one builds on, and context.go the files.
//
// It knows the format (https://docs.docker.com/reference/dockerfile), and not what
// it is used for. BuildKit's own parser would bring its module's go directive and
// requirements to every module that depends on this one.
package dockerfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// File is a Dockerfile.
type File struct {
	Args   []Instruction // those before the first FROM
	Stages []Stage
	Escape byte // the escape character, \ unless a directive says `
}

// Stage is what one FROM begins.
type Stage struct {
	Name         string // after AS, in lower case; may be empty
	From         Instruction
	Instructions []Instruction // without From
}

// Instruction is one instruction, its continued lines joined.
type Instruction struct {
	Line  int               // where it begins, from 1
	Name  string            // in upper case: COPY
	Flags map[string]string // --from=build; one without a value has "", one given twice both
	Text  string            // what follows the flags, as it is written
	// Heredoc is the content of its here-documents; Text names them.
	Heredoc string
}

func (i Instruction) String() string { return strings.TrimSpace(i.Name + " " + i.Text) }

// List is the text if it is written as a JSON list of strings, the exec form.
func (i Instruction) List() ([]string, bool) {
	var list []string
	err := json.Unmarshal([]byte(i.Text), &list)
	return list, err == nil && list != nil
}

var (
	directive = regexp.MustCompile(`^#\s*([A-Za-z]+)\s*=\s*(\S+)\s*$`)
	heredoc   = regexp.MustCompile(`^\d*<<(-?)["']?([^<"']+)["']?$`)
	flag      = regexp.MustCompile(`^--([a-z-]+)(?:=("[^"]*"|\S*))?\s*`)
	named     = regexp.MustCompile(`(?i)^(\S+)\s+AS\s+(\S+)$`)
)

// Parse reads a Dockerfile. An instruction that it doesn't know is no error.
func Parse(data []byte) (File, error) {
	f := File{Escape: '\\'}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	at := 0
	for ; at < len(lines); at++ { // parser directives stand before all else
		m := directive.FindStringSubmatch(lines[at])
		if m == nil {
			break
		}
		if strings.EqualFold(m[1], "escape") && m[2] == "`" {
			f.Escape = '`'
		}
	}
	for at < len(lines) {
		if skip(lines[at]) {
			at++
			continue
		}
		var i Instruction
		i, at = f.instruction(lines, at)
		switch {
		case i.Name == "FROM":
			s := Stage{From: i}
			if m := named.FindStringSubmatch(i.Text); m != nil {
				s.From.Text, s.Name = m[1], strings.ToLower(m[2])
			}
			f.Stages = append(f.Stages, s)
		case len(f.Stages) > 0:
			last := &f.Stages[len(f.Stages)-1]
			last.Instructions = append(last.Instructions, i)
		case i.Name == "ARG":
			f.Args = append(f.Args, i)
		default:
			return f, fmt.Errorf("line %d: %s stands before the first FROM", i.Line, i.Name)
		}
	}
	if len(f.Stages) == 0 {
		return f, fmt.Errorf("it has no FROM")
	}
	return f, nil
}

// skip reports whether a line is empty or a comment, also within an instruction.
func skip(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

// instruction reads the one that begins at a line, and returns the line after it.
func (f File) instruction(lines []string, at int) (Instruction, int) {
	i := Instruction{Line: at + 1, Flags: map[string]string{}}
	var text strings.Builder
	for first := true; at < len(lines); first = false {
		line := lines[at]
		at++
		if !first && skip(line) {
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
