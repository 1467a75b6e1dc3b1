// Package wording prepares text for people: it suggests the name that was meant,
// and makes foreign text short and printable.
package wording

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clip makes foreign text one short line, without anything that a terminal or a CI system
// would take for a command.
func Clip(text string) string {
	const maxBytes, maxRunes = 4096, 300
	text = text[:min(len(text), maxBytes)]
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == utf8.RuneError:
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > maxRunes {
		text = string(r[:maxRunes]) + "..."
	}
	return text
}

// List joins the first most of words, and says how many more there are.
func List(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

// Lines makes foreign text printable, as Clip does, and keeps its lines.
func Lines(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', unicode.IsPrint(r) && r != utf8.RuneError:
			return r
		case r == '\t':
			return ' '
		}
		return -1
	}, text)
	return strings.Trim(text, "\n ")
}
