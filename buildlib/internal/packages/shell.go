package packages

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Shell looks through the maintainer script of a package, as far as to tell
// what it would run at a first installation. It runs nothing. What it can't
// tell it takes for something that would run, so its mistakes refuse a script
// that would have been needless and never pass over one that isn't.
type Shell struct {
	// Args are the script's arguments.
	Args []string
	// Do is given each command that would run, as words; false: it is not
	// known, and the script is refused.
	Do func(words []string) bool
	// Test tells whether a command that is a condition succeeds, if that is
	// known. It may be nil.
	Test func(words []string) (holds, known bool)

	vars  map[string]string
	funcs map[string][]string
	depth int
}

// Look returns the first line that would do something that isn't known; empty:
// none.
func (s *Shell) Look(script string) string {
	s.vars, s.funcs = map[string]string{}, map[string][]string{}
	lines, bad := commands(script)
	if bad != "" {
		return bad
	}
	_, bad = s.block(lines)
	return bad
}

var (
	heredoc    = regexp.MustCompile(`<<(-?)\s*\\?['"]?(\w+)['"]?`)
	function   = regexp.MustCompile(`^(?:function\s+)?([\w-]+)\s*\(\)\s*\{?$`)
	assignment = regexp.MustCompile(`^(?:local |export |readonly )?\s*(\w+)=(.*)$`)
	variable   = regexp.MustCompile(`\$(\w+|\{\w+\}|[#*@?!$-])`)
	optional   = regexp.MustCompile(`\$\{DPKG_ROOT:[+-][^{}]*\}`)
)

// block looks through the commands up to the word that ends it, which isn't
// its own, and returns what follows.
func (s *Shell) block(list []string, ends ...string) (rest []string, bad string) {
	for len(list) > 0 {
		first, _, _ := strings.Cut(list[0], " ")
		if slices.Contains(ends, first) {
			return list, ""
		}
		switch {
		case first == "if":
			list, bad = s.ifs(list)
		case first == "case":
			list, bad = s.cases(list)
		case first == "for" || first == "while" || first == "until":
			if list, bad = s.block(list[1:], "do"); bad == "" && len(list) > 0 {
				if list, bad = s.block(list[1:], "done"); bad == "" && len(list) > 0 {
					bad = s.command(list[0]) // done < FILE
					list = list[1:]
				}
			}
		case first == "{" || first == "(" || first == "}" || first == ")" || first == ";;":
			list = list[1:]
		case function.MatchString(list[0]):
			list, bad = s.define(list)
		default:
			if bad = s.command(list[0]); bad == "" && (first == "exit" || first == "return") && s.depth == 0 && len(ends) == 0 {
				return nil, "" // the script ends here, whatever follows
			}
			list = list[1:]
		}
		if bad != "" {
			return nil, bad
		}
	}
	return nil, ""
}

// define keeps a function's body for those who call it.
func (s *Shell) define(list []string) (rest []string, bad string) {
	name := function.FindStringSubmatch(list[0])[1]
	depth := strings.Count(list[0], "{")
	for i := 1; i < len(list); i++ {
		switch list[i] {
		case "{":
			depth++
		case "}":
			if depth--; depth == 0 {
				s.funcs[name] = list[1:i]
				return list[i+1:], ""
			}
		}
	}
	return nil, list[0]
}

// ifs looks through the branches that may be taken.
func (s *Shell) ifs(list []string) (rest []string, bad string) {
	taken := false // for certain
	for {
		word, cond, _ := strings.Cut(list[0], " ")
		if list = list[1:]; word == "fi" {
			return list, ""
		}
		might, must := !taken, true
		if word != "else" {
			for len(list) > 0 && list[0] != "then" { // cond; cond
				cond += " && " + list[0]
				list = list[1:]
			}
			if len(list) == 0 {
				return nil, cond
			}
			list = list[1:]
			var known, holds bool
			if holds, known = s.condition(cond); known {
				might, must = might && holds, holds
			} else if bad = s.command(cond); bad != "" { // it runs, too
				return nil, bad
			} else {
				must = false
			}
		}
		before := list
		if might {
			list, bad = s.block(list, "elif", "else", "fi")
		} else {
			list = skip(before, "elif", "else", "fi")
		}
		if bad != "" || len(list) == 0 {
			return nil, bad
		}
		taken = taken || must && might
	}
}

// skip passes over commands up to one of the words, at this depth.
func skip(list []string, ends ...string) []string {
	for depth := 0; len(list) > 0; list = list[1:] {
		first, _, _ := strings.Cut(list[0], " ")
		if depth == 0 && slices.Contains(ends, first) {
			return list
		}
		switch first {
		case "if", "case", "for", "while", "until":
			depth++
		case "fi", "esac", "done":
			depth--
		}
	}
	return nil
}

// cases looks through the branches of case WORD in.
func (s *Shell) cases(list []string) (rest []string, bad string) {
	word, first, _ := strings.Cut(strings.TrimPrefix(list[0], "case "), " in")
	word, known := s.expand(strings.TrimSpace(word))
	if list = list[1:]; first != "" {
		list = append([]string{strings.TrimSpace(first)}, list...)
	}
	done := false
	for len(list) > 0 {
		if list[0] == "esac" || strings.HasPrefix(list[0], "esac ") {
			return list[1:], ""
		}
		if list[0] == ";;" {
			list = list[1:]
			continue
		}
		pattern, first, ok := strings.Cut(list[0], ")")
		if !ok {
			return nil, list[0]
		}
		list = list[1:]
		if first = strings.TrimSpace(first); first != "" {
			more, _ := split(first)
			list = append(more, list...)
		}
		matches := !known
		for p := range strings.SplitSeq(strings.TrimPrefix(pattern, "("), "|") {
			p = strings.Trim(strings.TrimSpace(p), `"'`)
			glob, err := path.Match(p, word)
			matches = matches || p == word || glob || err != nil || strings.Contains(p, "$")
		}
		if matches && !done {
			if list, bad = s.block(list, ";;", "esac"); bad != "" {
				return nil, bad
			}
			done = known
		} else {
			list = skip(list, ";;", "esac")
		}
	}
	return nil, "case " + word
}

// condition tells whether a condition holds; known: that can be told. Commands
// in it that aren't tests are for the reader of the system, and change nothing.
func (s *Shell) condition(cond string) (holds, known bool) {
	if parts := strings.Split(cond, "&&"); len(parts) > 1 {
		known = true
		for _, p := range parts {
			h, k := s.condition(p)
			if k && !h {
				return false, true
			}
			known = known && k
		}
		return known, known
	}
	if parts := strings.Split(cond, "||"); len(parts) > 1 {
		known = true
		for _, p := range parts {
			h, k := s.condition(p)
			if k && h {
				return true, true
			}
			known = known && k
		}
		return false, known
	}
	cond = strings.TrimSpace(cond)
	if inner, not := strings.CutPrefix(cond, "! "); not {
		holds, known = s.condition(inner)
		return !holds, known
	}
	if inner, ok := strings.CutPrefix(cond, "["); ok {
		cond = strings.TrimSuffix(strings.TrimSpace(inner), "]")
	} else if inner, ok := strings.CutPrefix(cond, "test "); ok {
		cond = inner
	} else if words := strings.Fields(cond); s.Test != nil && len(words) > 0 {
		for i, w := range words {
			if words[i], known = s.expand(w); !known {
				return false, false
			}
		}
		return s.Test(words)
	} else {
		return false, false
	}
	for _, join := range []string{"-o", "-a"} {
		if parts := strings.Split(cond, " "+join+" "); len(parts) > 1 {
			with := map[string]string{"-o": " || ", "-a": " && "}[join]
			return s.condition("[ " + strings.Join(parts, " ]"+with+"[ ") + " ]")
		}
	}
	words := strings.Fields(cond)
	if len(words) > 0 && words[0] == "!" {
		holds, known = s.condition("[ " + strings.Join(words[1:], " ") + " ]")
		return !holds, known
	}
	var values []string
	for _, w := range words {
		v, ok := s.expand(w)
		if !ok {
			return false, false
		}
		values = append(values, v)
	}
	switch {
	case len(values) == 2 && values[0] == "-n":
		return values[1] != "", true
	case len(values) == 2 && values[0] == "-z":
		return values[1] == "", true
	case len(values) == 3 && (values[1] == "=" || values[1] == "=="):
		return strings.TrimPrefix(values[0], "x") == strings.TrimPrefix(values[2], "x"), true
	case len(values) == 3 && values[1] == "!=":
		return values[0] != values[2], true
	case len(values) == 2 && s.Test != nil:
		return s.Test(values) // -f FILE
	}
	return false, false
}

// expand puts in the values of variables; ok: all are known.
func (s *Shell) expand(word string) (value string, ok bool) {
	if len(word) > 1 && word[0] == '\'' && word[len(word)-1] == '\'' {
		return word[1 : len(word)-1], true
	}
	word = optional.ReplaceAllString(word, "")
	ok = true
	word = variable.ReplaceAllStringFunc(word, func(v string) string {
		name := strings.Trim(v[1:], "{}")
		if len(name) == 1 && name[0] >= '1' && name[0] <= '9' {
			if i := int(name[0] - '1'); i < len(s.Args) {
				return s.Args[i]
			}
			return ""
		}
		set, known := s.vars[name]
		if name == "DPKG_ROOT" {
			known = true
		}
		ok = ok && known
		return set
	})
	if strings.ContainsAny(word, "$`") {
		ok = false
	}
	return strings.NewReplacer(`"`, "", `'`, "", `\~`, "~").Replace(word), ok
}

// command looks at a simple command, or several that && and || and pipes
// connect. It returns it if it isn't known.
func (s *Shell) command(line string) (bad string) {
	for _, part := range connected(line) {
		if holds, known := s.condition(part); known && !holds && strings.Contains(line, "&&") && !strings.Contains(line, "||") {
			return "" // TEST && COMMAND
		}
		if !s.simple(part) {
			return line
		}
	}
	return ""
}

var (
	silent   = regexp.MustCompile(`\s*(?:\d?>>?\s*(?:&\s*\d|/dev/null)|&>\s*/dev/null|<\s*\S+|<<-?\s*\S+|>&2)`)
	reading  = []string{"[", "[[", "test", "true", ":", "false", "echo", "printf", "exit", "return", "set", "unset", "shift", "break", "continue", "cd", "umask", "export", "local", "readonly", "read", "cat", "grep", "egrep", "fgrep", "sed", "awk", "cut", "head", "tail", "tr", "sort", "uniq", "wc", "which", "command", "type", "stat", "readlink", "basename", "dirname", "id", "getent", "getcap", "uname", "ls", "find", "cmp", "diff", "md5sum", "sha256sum", "pidof", "esac", "fi", "done", "then", "do"}
	changing = []string{"-i", "--in-place", "-delete", "-exec", "-execdir", "-ok", "-fprint"}
)

// simple looks at one command without connections.
func (s *Shell) simple(line string) bool {
	line = strings.TrimLeft(silent.ReplaceAllString(line, ""), "({ ")
	for line = strings.TrimSpace(line); strings.HasSuffix(line, " }") || strings.HasSuffix(line, ")") && strings.Count(line, "(") < strings.Count(line, ")"); {
		line = strings.TrimSpace(line[:len(line)-1])
	}
	if line == "}" || line == ")" {
		return true
	}
	if line == "" {
		return true
	}
	if writes(line) {
		return false
	}
	if m := assignment.FindStringSubmatch(line); m != nil {
		if value, command := firstWord(m[2]); command != "" && !strings.HasPrefix(line, "local ") && !strings.HasPrefix(line, "export ") && !strings.HasPrefix(line, "readonly ") {
			return readsOnly(value) && s.simple(command) // VARIABLE=value command
		}
		if value, ok := s.expand(m[2]); ok && !strings.Contains(value, " ") || ok && strings.HasPrefix(m[2], `"`) {
			if _, twice := s.vars[m[1]]; !twice {
				s.vars[m[1]] = value
				return true
			}
		}
		delete(s.vars, m[1])
		s.vars[m[1]+"?"] = "" // another value: never known again
		return readsOnly(m[2])
	}
	words := strings.Fields(line)
	if words[0] == "!" {
		words = words[1:]
	}
	if len(words) == 0 {
		return true
	}
	if body, ok := s.funcs[words[0]]; ok {
		if s.depth++; s.depth > 20 {
			return false
		}
		args := s.Args
		s.Args = nil
		for _, w := range words[1:] {
			v, ok := s.expand(w)
			if !ok {
				v = "$unknown"
			}
			s.Args = append(s.Args, v)
		}
		_, bad := s.block(body)
		s.Args, s.depth = args, s.depth-1
		return bad == ""
	}
	if words[0] == "command" && (len(words) < 2 || words[1] != "-v") {
		return false
	}
	if slices.Contains(reading, words[0]) && !slices.ContainsFunc(words, func(w string) bool { return slices.Contains(changing, w) }) {
		return readsOnly(line)
	}
	known := true
	for i, w := range words {
		v, ok := s.expand(w)
		words[i], known = v, known && ok
	}
	if !known {
		words = append([]string{words[0], unknownWords}, words[1:]...)
	}
	return s.Do(words)
}

// unknownWords stands second in a command that has words that can't be told.
const unknownWords = "\x00"

// Known tells whether all words of a command can be told.
func Known(words []string) bool { return len(words) < 2 || words[1] != unknownWords }

var substitution = regexp.MustCompile("(?:\\$\\(|`)\\s*([^()`]*)")

// readsOnly tells that what a line substitutes by $(...) only reads.
func readsOnly(line string) bool {
	for _, m := range substitution.FindAllStringSubmatch(line, -1) {
		for _, part := range connected(m[1]) {
			words := strings.Fields(part)
			if len(words) > 0 && words[0] != "(" && !slices.Contains(reading, words[0]) && words[0] != "dpkg" && words[0] != "dpkg-query" && words[0] != "dpkg-divert" {
				return false
			}
			if slices.ContainsFunc(words, func(w string) bool { return slices.Contains(changing, w) || strings.HasPrefix(w, ">") }) {
				return false
			}
		}
	}
	return true
}
