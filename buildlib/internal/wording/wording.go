// Package wording prepares text for people: it suggests the name that was meant,
// and makes text from elsewhere short and printable.
package wording

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clip makes one line of text that others wrote: short, and without what a
// terminal or a CI system would take for an order.
func Clip(text string) string {
	const most, runes = 4096, 300
	if len(text) > most {
		text = text[:most]
	}
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
	if r := []rune(text); len(r) > runes {
		text = string(r[:runes]) + "..."
	}
	return text
}

// List joins words for people: the first most of them, and how many more there
// are.
func List(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

// Lines makes text that others wrote printable, as Clip does, and keeps its lines.
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
