package packages

import (
	"regexp"
	"strings"
)

var (
	variable = regexp.MustCompile(`\$(\w+|\{\w+\}|[#*@?!$-])`)
	optional = regexp.MustCompile(`\$\{DPKG_ROOT:[+-][^{}]*\}`)
)

// condition evaluates a condition; known is false if its value can't be told.
// Commands other than tests are left to s.Test.
func (s *Shell) condition(cond string) (holds, known bool) {
	if parts, operators := connected(cond); len(operators) > 0 {
		holds, known = s.condition(parts[0])
		for i, operator := range operators { // && and || bind alike, from the left
			right, rightKnown := s.condition(parts[i+1])
			decides := operator == "||" // whatever the other is
			switch {
			case operator != "&&" && operator != "||":
				return false, false
			case known && holds == decides, rightKnown && right == decides:
				holds, known = decides, true
			default:
				holds, known = !decides, known && rightKnown
			}
		}
		return holds, known
	}
	if strings.ContainsAny(cond, "|;&`") {
		return false, false
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
		return values[0] == values[2], true
	case len(values) == 3 && values[1] == "!=":
		return values[0] != values[2], true
	case len(values) == 2 && s.Test != nil:
		return s.Test(values) // -f FILE
	}
	return false, false
}

// expand substitutes variables; ok is false if the value of one isn't known.
func (s *Shell) expand(word string) (value string, ok bool) {
	if len(word) > 1 && word[0] == '\'' && word[len(word)-1] == '\'' {
		return word[1 : len(word)-1], true
	}
	word = optional.ReplaceAllString(word, "")
	ok = true
	word = variable.ReplaceAllStringFunc(word, func(v string) string {
		name := strings.Trim(v[1:], "{}")
		if len(name) == 1 && name[0] >= '1' && name[0] <= '9' {
			ok = ok && !s.lost
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
