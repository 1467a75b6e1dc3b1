package packages

import (
	"regexp"
	"slices"
	"strings"
)

// readers are commands that change no file, except with some options.
var readers = []string{"[", "[[", "test", "true", ":", "false", "echo", "printf", "exit", "return", "set", "unset", "shift", "break", "continue", "cd", "umask", "export", "local", "readonly", "read", "cat", "grep", "egrep", "fgrep", "sed", "awk", "cut", "head", "tail", "tr", "sort", "uniq", "wc", "which", "command", "type", "stat", "readlink", "basename", "dirname", "id", "getent", "getcap", "uname", "ls", "find", "cmp", "diff", "seq", "expr", "md5sum", "sha256sum", "pidof", "esac", "fi", "done", "then", "do"}

// onlyReads tells that a command changes no file.
func onlyReads(words []string) bool {
	if !slices.Contains(readers, words[0]) {
		return false
	}
	anyWord := func(bad func(w string) bool) bool { return slices.ContainsFunc(words[1:], bad) }
	switch words[0] {
	case "awk": // which runs programs, and writes files
		return !anyWord(func(w string) bool {
			return strings.ContainsAny(w, "|>") || strings.Contains(w, "system") || strings.Contains(w, "inplace") || strings.HasPrefix(w, "-f") || strings.HasPrefix(w, "--file")
		})
	case "sed":
		return !anyWord(func(w string) bool {
			return sedOptions.MatchString(w) || sedWrites.MatchString(strings.Trim(w, `'"`))
		})
	case "find":
		return !anyWord(func(w string) bool {
			return slices.ContainsFunc([]string{"-delete", "-exec", "-ok", "-fprint", "-fls"}, func(p string) bool { return strings.HasPrefix(w, p) })
		})
	case "sort":
		return !anyWord(sortOutput.MatchString)
	case "uniq":
		return len(words) < 3
	case "printf":
		return !anyWord(func(w string) bool { return w == "-v" })
	}
	return true
}

var (
	// sedOptions matches -i (--in-place) and -f (--file), also behind options that
	// have no argument.
	sedOptions = regexp.MustCompile(`^(?:-[nrEsuz]*[if]|--i|--fi)`)
	// sedWrites matches a word that ends in, or is, a command of sed that writes a
	// file (w) or runs a program (e).
	sedWrites = regexp.MustCompile(`(?:^|[^A-Za-z-])[gpiImM0-9]*[wWe]$|(?:^|[;{}$0-9])[wW]/`)
	// sortOutput matches -o (--output), also behind options that have no argument.
	sortOutput = regexp.MustCompile(`^(?:-[bdfghiMnRrVcCmsuz]*o|--o)`)
)

// substitutesReads tells that the commands in a line's $(...) and the like only read.
// Those in funcs are the script's own.
func substitutesReads(line string, funcs map[string][]string) bool {
	for _, sub := range substitutions(line) {
		if strings.HasPrefix(sub, "(") && closing(sub, 0) == len(sub)-1 { // arithmetic, whose own substitutions are in the list
			continue
		}
		parts, _ := split(sub)
		for _, part := range parts {
			commands, _ := connected(silent.ReplaceAllString(part, ""))
			for _, c := range commands {
				words := strings.Fields(strings.TrimRight(c, ")"))
				if len(words) == 0 {
					continue
				}
				if _, own := funcs[words[0]]; own || writes(c) || !onlyReads(words) && !queriesDpkg(words) {
					return false
				}
			}
		}
	}
	return true
}

// queriesDpkg tells that a command only asks dpkg something.
func queriesDpkg(words []string) bool {
	has := func(list ...string) bool {
		return slices.ContainsFunc(words[1:], func(w string) bool { return slices.Contains(list, w) })
	}
	switch words[0] {
	case "dpkg-query":
		return true
	case "dpkg":
		return has("--print-architecture", "--print-foreign-architectures", "--compare-versions", "--get-selections", "-l", "--list", "-L", "--listfiles", "-s", "--status", "-S", "--search", "--version")
	case "dpkg-divert":
		return has("--list", "--listpackage", "--truename")
	}
	return false
}
