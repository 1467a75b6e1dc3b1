package distro

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // apk signs it, and names packages by it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// The forms of Alpine's names, of which only virtual packages (apk add --virtual)
// begin with a dot. What packages provide (so:, cmd:, pc:, /bin/sh) may have more.
var (
	apkName    = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9+._-]*$`)
	apkVersion = regexp.MustCompile(`^[0-9][A-Za-z0-9+._~-]*$`)
	apkNeed    = regexp.MustCompile(`^(!?)([^<>=~@]+)(?:(><|[<>]=?|=~?|~=?)(.+))?$`)
)

// parseApkNeeds parses dependencies: NAME, NAME>=VERSION, !NAME.
func parseApkNeeds(text string) (needs []group, conflicts []relation, err error) {
	for _, word := range strings.Fields(text) {
		m := apkNeed.FindStringSubmatch(strings.SplitN(word, "@", 2)[0])
		if m == nil {
			return nil, nil, fmt.Errorf("%.80q is not a dependency", word)
		}
		r := relation{name: m[2], op: m[3], version: m[4], compare: compareApk}
		switch {
		case r.op == "><": // a file by its checksum, of a base's apk add FILE
			r.op, r.version = "", ""
		case strings.Contains(r.op, "~"):
			r.op = "~"
		case r.op == "<":
			r.op = "<<"
		case r.op == ">":
			r.op = ">>"
		}
		if m[1] != "" {
			conflicts = append(conflicts, r)
		} else {
			needs = append(needs, group{r})
		}
	}
	return needs, conflicts, nil
}

// eachApk calls f with the packages of an index or of the database of what is
// installed: paragraphs of lines of a letter, a colon and a value.
func eachApk(r io.Reader, f func(*pkg)) error {
	return eachParagraph(r, func(text string) error {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		for _, line := range lines {
			if len(line) < 2 || line[1] != ':' {
				return fmt.Errorf("line %.80q has no letter and colon", line)
			}
		}
		p, err := newApk(lines)
		if err != nil {
			return err
		}
		f(p)
		return nil
	})
}

// newApk makes a package of an entry.
func newApk(lines []string) (*pkg, error) {
	p := &pkg{parsed: true, text: strings.Join(lines, "\n")}
	var needs, gives, with string
fields:
	for _, line := range lines {
		switch value := line[2:]; line[0] {
		case 'P':
			p.name = value
		case 'V':
			p.version = value
		case 'A':
			p.arch = value
		case 'C':
			p.checksum = value
		case 'S':
			p.size, _ = strconv.ParseInt(value, 10, 64)
		case 'k':
			n, _ := strconv.Atoi(value)
			p.rank = -n
		case 'D':
			needs = value
		case 'p':
			gives = value
		case 'i':
			with = value
		case 'F': // its files follow
			break fields
		}
	}
	if !apkName.MatchString(p.name) || !apkVersion.MatchString(p.version) {
		return nil, fmt.Errorf("package %.80q, version %.80q: not a package", p.name, p.version)
	}
	var err error
	if p.depends, p.conflicts, err = parseApkNeeds(needs); err == nil {
		p.installIf, _, err = parseApkNeeds(with)
	}
	given, _, failed := parseApkNeeds(gives)
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("package %s %s: %w", p.name, p.version, err)
	}
	for _, g := range given {
		p.provides = append(p.provides, g[0])
		if g[0].op == "=" { // only one package may provide a name with a version
			p.exclusive = append(p.exclusive, g[0].name)
		}
	}
	p.exclusive = append(p.exclusive, p.name)
	return p, nil
}

// tarMembers reads a tar archive, which need have no end, from one gzip stream and
// no byte more.
func tarMembers(in *bytes.Reader) (map[string][]byte, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	members := map[string][]byte{}
	all := &limited{z, maxIndex}
	for t := tar.NewReader(all); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, err
		}
		if members[h.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
	_, err = io.Copy(io.Discard, all)
	return members, err
}

// q1 is a SHA-1 as apk writes it.
func q1(sum [sha1.Size]byte) string { return "Q1" + base64.StdEncoding.EncodeToString(sum[:]) }
