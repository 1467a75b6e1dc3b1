package distro

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The most that is read of files in the format of control files. Debian's
// largest index is under 60 MB.
const (
	maxIndex   = 512 << 20
	maxStanza  = 4 << 20
	maxControl = 16 << 20 // a package's control archive, unpacked
)

// stanza is one paragraph of a control file (deb822(5)): its text as it is,
// and its fields by name in lower case.
type stanza struct {
	text   string
	fields map[string]string
}

func (s stanza) get(field string) string { return s.fields[field] }

// eachStanza calls f with each paragraph of r.
func eachStanza(r io.Reader, f func(stanza) error) error {
	return eachParagraph(r, func(text string) error {
		s, err := parseStanza(text)
		if err != nil {
			return err
		}
		return f(s)
	})
}

// eachParagraph calls f with each run of lines of r that aren't blank.
func eachParagraph(r io.Reader, f func(text string) error) error {
	lines := bufio.NewScanner(&limited{r, maxIndex})
	lines.Buffer(nil, maxStanza)
	var text strings.Builder
	flush := func() error {
		if text.Len() == 0 {
			return nil
		}
		defer text.Reset()
		return f(text.String())
	}
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		if text.Len()+len(line) > maxStanza {
			return fmt.Errorf("a paragraph of more than %d MB", maxStanza>>20)
		}
		text.WriteString(line + "\n")
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return flush()
}

func parseStanza(text string) (stanza, error) {
	s := stanza{strings.TrimRight(text, "\n"), make(map[string]string, 16)}
	last := ""
	for line := range strings.Lines(s.text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if last == "" {
				return s, fmt.Errorf("line %.80q continues no field", line)
			}
			s.fields[last] += "\n" + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return s, fmt.Errorf("line %.80q is not a field", line)
		}
		last = strings.ToLower(name)
		if _, twice := s.fields[last]; twice {
			return s, fmt.Errorf("field %.80q occurs twice", name)
		}
		s.fields[last] = strings.TrimSpace(value)
	}
	return s, nil
}

// limited is an io.LimitedReader whose end is an error.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("is too large")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
