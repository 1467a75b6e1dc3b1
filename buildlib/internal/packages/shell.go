package packages

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Shell looks through the maintainer script of a package to tell what it would
// run. It runs nothing. What it can't tell counts as run: its mistakes refuse a
// script that could be passed over, and never pass over one that can't.
type Shell struct {
	// Args are the script's arguments.
	Args []string
	// Do is called with the words of each command that would run. If it returns
	// false, the command isn't known, and the script is refused.
	Do func(words []string) bool
	// Test tells whether a command that is a condition succeeds, if that is
	// known. It may be nil.
	Test func(words []string) (holds, known bool)

	vars  map[string]string // variables with a known value
	other map[string]bool   // variables without one, whatever is assigned
	lost  bool              // Args aren't known any more
	inner bool              // there is a subshell, which exit may end alone
	funcs map[string][]string
	depth int
	local []string // variables of the function that is looked at
}

// Look returns the first line that would do something that isn't known, or
// nothing.
func (s *Shell) Look(script string) string {
	s.vars, s.other, s.funcs, s.lost, s.inner = map[string]string{}, map[string]bool{}, map[string][]string{}, false, false
	lines, bad := commands(script)
	if bad != "" {
		return bad
	}
	_, bad = s.block(lines)
	return bad
}

// Check is Look as a *ScriptError, for a script of that package.
func (s *Shell) Check(pkg, name, script string) error {
	if line := s.Look(script); line != "" {
		return &ScriptError{Package: pkg, Script: name, Line: strings.Join(strings.Fields(line), " ")}
	}
	return nil
}

var (
	function   = regexp.MustCompile(`^(?:function\s+)?([\w-]+)\s*\(\)\s*\{?$`)
	assignment = regexp.MustCompile(`^(?:local |export |readonly )?\s*(\w+)=(.*)$`)
)

// block looks through the commands up to one of the words in ends, and returns the
// rest from there on.
func (s *Shell) block(list []string, ends ...string) (rest []string, bad string) {
	for len(list) > 0 {
		first, _, _ := strings.Cut(list[0], " ")
		if slices.Contains(ends, first) {
			return list, ""
		}
		s.inner = s.inner || strings.Count(list[0], "(") > strings.Count(list[0], ")")
		switch {
		case first == "if":
			list, bad = s.ifs(list)
		case first == "case":
			list, bad = s.cases(list)
		case first == "for" || first == "while" || first == "until":
			list, bad = s.loop(list)
		case first == "{" || first == "(" || first == "}" || first == ")" || first == ";;":
			list = list[1:]
		case function.MatchString(list[0]):
			list, bad = s.define(list)
		default:
			exits := (first == "exit" || first == "return") && s.depth == 0 && len(ends) == 0 && !s.inner && !strings.ContainsAny(list[0], "|&()`")
			if bad = s.command(list[0]); bad == "" && exits {
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

// loop looks through a loop, which may run any number of times: what it sets isn't
// known in it, nor after it.
func (s *Shell) loop(list []string) (rest []string, bad string) {
	word, head, _ := strings.Cut(list[0], " ")
	clear(s.vars)
	s.lost = s.lost || slices.ContainsFunc(list, func(line string) bool {
		first, _, _ := strings.Cut(line, " ")
		return first == "shift" || first == "set"
	})
	if word == "for" {
		name, _, _ := strings.Cut(head, " ")
		s.forget(name)
		if !substitutesReads(head, s.funcs) {
			bad = list[0]
		}
	} else {
		bad = s.command(head)
	}
	if bad != "" {
		return nil, bad
	}
	return s.maybe(func() (rest []string, bad string) {
		if list, bad = s.block(list[1:], "do"); bad == "" && len(list) > 0 {
			if list, bad = s.block(list[1:], "done"); bad == "" && len(list) > 0 {
				bad = s.command(list[0]) // done < FILE
				list = list[1:]
			}
		}
		return list, bad
	}, false)
}

// maybe looks through what may run or not. Unless it is certain to run, what it
// sets isn't known afterwards.
func (s *Shell) maybe(look func() (rest []string, bad string), certain bool) (rest []string, bad string) {
	if certain {
		return look()
	}
	before := maps.Clone(s.vars)
	rest, bad = look()
	for name, value := range s.vars {
		if was, known := before[name]; !known || was != value {
			s.forget(name)
		}
	}
	for name := range before {
		if _, known := s.vars[name]; !known {
			s.forget(name)
		}
	}
	return rest, bad
}

// forget notes that a variable's value isn't known.
func (s *Shell) forget(name string) {
	delete(s.vars, name)
	s.other[name] = true
}

// define keeps a function's body for its calls.
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
	taken, unsure := false, false // an earlier branch is taken for certain; or may be
	for {
		word, cond, _ := strings.Cut(list[0], " ")
		if list = list[1:]; word == "fi" {
			return list, ""
		}
		might, must := !taken, true
		if word != "else" {
			for len(list) > 0 && list[0] != "then" { // of several commands the last decides
				if strings.HasSuffix(cond, "&&") || strings.HasSuffix(cond, "||") {
					cond += " " + list[0] // on a line of its own
				} else if bad = s.command(cond); bad != "" && might {
					return nil, bad
				} else {
					cond = list[0]
				}
				list = list[1:]
			}
			if len(list) == 0 {
				return nil, cond
			}
			list = list[1:]
			holds, known := s.condition(cond)
			if bad = s.command(cond); bad != "" && might { // it runs, too
				return nil, bad
			}
			might, must = might && (holds || !known), holds && known
		}
		before := list
		body := func() ([]string, string) { return s.block(list, "elif", "else", "fi") }
		if might {
			list, bad = s.maybe(body, must && !unsure)
		} else {
			list = skip(before, "elif", "else", "fi")
		}
		if bad != "" || len(list) == 0 {
			return nil, bad
		}
		taken, unsure = taken || must && might, unsure || might && !must
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
	if !substitutesReads(word, s.funcs) {
		return nil, list[0]
	}
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
		certain := false
		for p := range strings.SplitSeq(strings.TrimPrefix(pattern, "("), "|") {
			holds, sure := match(strings.TrimSpace(p), word)
			matches, certain = matches || holds, certain || known && holds && sure
		}
		if matches && !done {
			body := func() ([]string, string) { return s.block(list, ";;", "esac") }
			done = certain
			if list, bad = s.maybe(body, done); bad != "" {
				return nil, bad
			}
		} else {
			list = skip(list, ";;", "esac")
		}
	}
	return nil, "case " + word
}

// literal matches a quoted pattern in which nothing is expanded.
var literal = regexp.MustCompile(`^(?:"[^"$\x60\\]*"|'[^']*')$`)

// match tells whether a pattern of case matches the word, and whether that is
// certain: otherwise it may.
func match(pattern, word string) (holds, certain bool) {
	if literal.MatchString(pattern) {
		return pattern[1:len(pattern)-1] == word, true
	}
	if strings.ContainsAny(pattern, "\"'\\$`") {
		return true, false
	}
	// A * matches slashes, too, and [!a] is path's [^a].
	glob := strings.NewReplacer("/", "\x00", "[!", "[^")
	holds, err := path.Match(glob.Replace(pattern), strings.ReplaceAll(word, "/", "\x00"))
	return holds || err != nil, err == nil
}

// command looks at a simple command, or several that &&, || and pipes connect. It
// returns the line if it isn't known.
func (s *Shell) command(line string) (bad string) {
	parts, operators := connected(line)
	simple := !slices.Contains(operators, "||") && !slices.Contains(operators, "&")
	for i, part := range parts {
		if holds, known := s.condition(part); known && !holds && simple && i < len(operators) && operators[i] == "&&" {
			return "" // TEST && COMMAND
		}
		_, bad := s.maybe(func() ([]string, string) {
			if !s.simple(part) {
				return nil, line
			}
			return nil, ""
		}, i == 0)
		if bad != "" {
			return bad
		}
	}
	return ""
}

// simple looks at one command without connections.
func (s *Shell) simple(line string) bool {
	if !substitutesReads(line, s.funcs) {
		return false
	}
	line = strings.TrimLeft(silent.ReplaceAllString(line, ""), "({ ")
	for line = strings.TrimSpace(line); strings.HasSuffix(line, " }") || strings.HasSuffix(line, ")") && strings.Count(line, "(") < strings.Count(line, ")"); {
		line = strings.TrimSpace(line[:len(line)-1])
	}
	if line == "" || line == "}" || line == ")" {
		return true
	}
	if writes(line) {
		return false
	}
	if m := assignment.FindStringSubmatch(line); m != nil {
		if _, command := firstWord(m[2]); command != "" && !strings.HasPrefix(line, "local ") && !strings.HasPrefix(line, "export ") && !strings.HasPrefix(line, "readonly ") {
			return s.simple(command) // VARIABLE=value command
		}
		value, ok := s.expand(m[2])
		_, twice := s.vars[m[1]]
		if ok = ok && !twice && !s.other[m[1]] && (!strings.Contains(value, " ") || strings.HasPrefix(m[2], `"`)); ok {
			s.vars[m[1]] = value
		} else {
			s.forget(m[1])
		}
		if strings.HasPrefix(line, "local ") {
			s.local = append(s.local, m[1])
		}
		return true
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
		args, lost, local := s.Args, s.lost, s.local
		s.Args, s.lost, s.local = nil, false, nil
		for _, w := range words[1:] {
			v, ok := s.expand(w)
			if !ok {
				v = "$unknown"
			}
			s.Args = append(s.Args, v)
		}
		_, bad := s.block(body)
		for _, name := range s.local {
			delete(s.vars, name)
		}
		s.Args, s.lost, s.local, s.depth = args, lost, local, s.depth-1
		return bad == ""
	}
	if words[0] == "command" && (len(words) < 2 || words[1] != "-v") {
		return false
	}
	s.assigns(words)
	if onlyReads(words) {
		return true
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

// unknownWords is the second word of a command some words of which can't be told.
const unknownWords = "\x00"

// Known tells whether all words of a command can be told.
func Known(words []string) bool { return len(words) < 2 || words[1] != unknownWords }

// assigns forgets what a builtin command sets: read, shift and the like.
func (s *Shell) assigns(words []string) {
	switch words[0] {
	case "read", "unset", "local", "export", "readonly":
		for _, w := range words[1:] {
			if words[0] == "read" || words[0] == "unset" || words[0] == "local" || strings.Contains(w, "=") {
				name, _, _ := strings.Cut(w, "=")
				s.forget(name)
			}
		}
	case "shift":
		s.lost = true
	case "set":
		for i := 1; i < len(words); i++ {
			switch w := words[i]; {
			case w == "--" || w[0] != '-' && w[0] != '+':
				s.lost = true
			case strings.HasSuffix(w, "o"): // -o pipefail
				i++
			}
		}
	}
}
