package targets

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/magefile/mage/mg"
)

// clean makes text from outside safe to print: file names, records, the output of
// registries, git, helpers and compilers. Characters that control a terminal or change
// the direction of writing are escaped as in Go strings (\x1b, \u202e), and so is the
// first character of anything that a CI system would take for a command (::error::,
// ##[group], ##vso[...]). Line ends and tabs stay, as compilers print many lines.
func clean(text string) string {
	if !strings.ContainsFunc(text, controls) && !strings.Contains(text, "##") && !strings.Contains(text, "::") && strings.ToValidUTF8(text, "") == text {
		return text // nearly always
	}
	var b strings.Builder
	start := true // only white space since the line began
	for i, r := range text {
		rest := text[i:]
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == unicode.ReplacementChar && !strings.HasPrefix(rest, "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case controls(r):
			quote(&b, r)
		// GitHub: a command begins a line, white space aside. GitHub's old
		// ones, Azure's and TeamCity's are found anywhere.
		case start && strings.HasPrefix(rest, "::"), command(rest):
			quote(&b, r)
		default:
			b.WriteRune(r)
		}
		start = r == '\n' || start && unicode.IsSpace(r)
	}
	return b.String()
}

// controls reports whether r controls a terminal or the order of text: control
// characters (C0 except line end and tab, DEL, C1), Unicode's line ends, and format
// characters (bidirectional ones, tags, those of no width).
func controls(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}

func quote(b *strings.Builder, r rune) {
	switch {
	case r < 0x100:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}

// command reports whether text begins with ##, perhaps a word, and an opening bracket:
// ##[error], ##vso[task.setvariable], ##teamcity[...].
func command(text string) bool {
	rest, ok := strings.CutPrefix(text, "##")
	return ok && strings.HasPrefix(strings.TrimLeftFunc(rest, unicode.IsLetter), "[")
}

// cleanLine is clean for text that has to be one line.
func cleanLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", " ").Replace(clean(text))
}

// cleanError is an error whose text is clean: mage prints it.
type cleanError struct {
	error
	text string
}

func (e cleanError) Error() string { return e.text }
func (e cleanError) Unwrap() error { return e.error }

// ExitStatus is the wrapped error's: mage asks only the outermost one.
func (e cleanError) ExitStatus() int { return mg.ExitStatus(e.error) }

// cleaned is err with a text that is safe to print. It wraps err.
func cleaned(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	// mage writes "Error: " before the first line.
	if safe := clean(spoken.Replace(text)); safe != text {
		return cleanError{err, safe}
	}
	return err
}
