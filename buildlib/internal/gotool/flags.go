package gotool

import (
	"path/filepath"
	"strings"
)

// SplitFlags takes GOFLAGS apart as the go command does: words between spaces,
// which quotes may hold (go help environment).
func SplitFlags(text string) []string {
	var words []string
	for {
		text = strings.TrimLeft(text, " \t\n\r")
		if text == "" {
			return words
		}
		if q := text[0]; q == '\'' || q == '"' {
			if end := strings.IndexByte(text[1:], q); end >= 0 {
				words, text = append(words, text[1:end+1]), text[end+2:]
				continue
			}
		}
		end := strings.IndexAny(text, " \t\n\r")
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, text[:end]), text[end:]
	}
}

// FlagName is the name of a flag, which begins with one dash or two; empty if it isn't
// a flag.
func FlagName(flag string) string {
	name, ok := strings.CutPrefix(flag, "-")
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
	return name
}

// FlagValue is the value of the last flag of that name: what follows its =, or else
// the next word.
func FlagValue(flags []string, name string) string {
	value := ""
	for i, flag := range flags {
		if FlagName(flag) != name {
			continue
		}
		if _, v, joined := strings.Cut(flag, "="); joined {
			value = v
		} else if i+1 < len(flags) {
			value = flags[i+1]
		}
	}
	return value
}

// flagFiles are the files that flags name and that change what is built.
func flagFiles(dir string, flags []string) []string {
	var files []string
	for _, name := range []string{"modfile", "overlay", "pgo"} {
		file := FlagValue(flags, name)
		if file == "" || name == "pgo" && (file == "auto" || file == "off") {
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		files = append(files, file)
	}
	return files
}
