package distro

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// source is a suite in apt's sources (sources.list(5)).
type source struct {
	uri, suite string
	components []string
	archs      []string // empty: all
	signedBy   string   // a keyring's path or a key in armour; empty: the trusted keys
	trusted    bool     // needs no signature
	expired    bool     // may be no longer valid
	file       string   // the file that names it
}

// sources reads the base's apt sources.
func (s *debSystem) sources() ([]source, error) {
	files, err := fs.Glob(s.base, "etc/apt/sources.list.d/*")
	if err != nil {
		return nil, err
	}
	var all []source
	for _, name := range append([]string{"etc/apt/sources.list"}, files...) {
		parse := parseList
		if path.Ext(name) == ".sources" {
			parse = parseDeb822
		} else if path.Ext(name) != ".list" {
			continue
		}
		data, err := fs.ReadFile(s.base, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var found []source
		if err == nil {
			found, err = parse(string(data))
		}
		if err != nil {
			return nil, fmt.Errorf("base: /%s: %w", name, err)
		}
		for _, f := range found {
			if len(f.archs) == 0 || slices.Contains(f.archs, s.arch) {
				f.file = "/" + name
				all = append(all, f)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("base: no apt source for %s in /etc/apt/sources.list and /etc/apt/sources.list.d", s.arch)
	}
	return all, nil
}

// parseList parses the one-line style: deb [options] uri suite components.
func parseList(text string) ([]source, error) {
	var all []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) == 0 || words[0] != "deb" {
			continue // deb-src, or nothing
		}
		var s source
		rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "deb"))
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			options, after, closed := strings.Cut(inner, "]")
			if !closed {
				return nil, fmt.Errorf("line %.80q: no ] after its [", line)
			}
			for _, option := range strings.Fields(options) {
				key, value, _ := strings.Cut(option, "=")
				s.option(key, strings.ReplaceAll(value, ",", " "))
			}
			rest = after
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			return nil, fmt.Errorf("line %.80q: no suite", line)
		}
		s.uri, s.suite, s.components = words[0], words[1], words[2:]
		all = append(all, s)
	}
	return all, check(all)
}

// parseDeb822 parses the deb822 style, paragraphs.
func parseDeb822(text string) ([]source, error) {
	var all []source
	err := eachStanza(strings.NewReader(text), func(st stanza) error {
		if len(st.fields) == 0 || st.get("enabled") == "no" || !slices.Contains(strings.Fields(st.get("types")), "deb") {
			return nil
		}
		var s source
		for key, value := range st.fields {
			s.option(strings.TrimSuffix(key, "s"), value)
		}
		s.components = strings.Fields(st.get("components"))
		for _, uri := range strings.Fields(st.get("uris")) {
			for _, suite := range strings.Fields(st.get("suites")) {
				s.uri, s.suite = uri, suite
				all = append(all, s)
			}
		}
		return nil
	})
	return all, errors.Join(err, check(all))
}

func (s *source) option(key, value string) {
	switch key {
	case "arch", "architecture":
		s.archs = strings.Fields(value)
	case "signed-by":
		s.signedBy = value
	case "trusted":
		s.trusted = value == "yes"
	case "check-valid-until":
		s.expired = value == "no"
	}
}

func check(all []source) error {
	for _, s := range all {
		if u, err := url.Parse(s.uri); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q: only sources at http and https are read", s.uri)
		}
		if flat := strings.HasSuffix(s.suite, "/"); flat == (len(s.components) > 0) || strings.Contains(s.suite, "..") {
			return fmt.Errorf("%s: suite %q needs components, or a / at its end", s.uri, s.suite)
		}
	}
	return nil
}

// folder is where the source's Release is.
func (s source) folder() string {
	uri := strings.TrimSuffix(s.uri, "/")
	if strings.HasSuffix(s.suite, "/") {
		return strings.TrimSuffix(uri+"/"+strings.TrimPrefix(s.suite, "/"), "/")
	}
	return uri + "/dists/" + s.suite
}

// root is what the Filenames of its packages are relative to.
func (s source) root() string {
	if strings.HasSuffix(s.suite, "/") {
		return s.folder()
	}
	return strings.TrimSuffix(s.uri, "/")
}

// indexes are the names, in the Release, of the lists of packages.
func (s source) indexes(arch string) []string {
	if len(s.components) == 0 {
		return []string{"Packages"}
	}
	var all []string
	for _, c := range s.components {
		all = append(all, c+"/binary-"+arch+"/Packages")
	}
	return all
}

// keys returns the keyrings that may sign the source, without armour.
func (s *debSystem) keys(src source) ([][]byte, error) {
	var names []string
	switch {
	case strings.HasPrefix(src.signedBy, "-----"), strings.HasPrefix(src.signedBy, "\n-----"):
		// deb822 writes an empty line as a dot.
		key, err := dearmour(strings.ReplaceAll(src.signedBy, "\n.\n", "\n\n"))
		return [][]byte{key}, err
	case src.signedBy != "":
		for _, name := range strings.Fields(src.signedBy) {
			if !path.IsAbs(name) {
				return nil, fmt.Errorf("%s: Signed-By %q is not a file's path", src.file, name)
			}
			names = append(names, strings.TrimPrefix(path.Clean(name), "/"))
		}
	default:
		names = []string{"etc/apt/trusted.gpg"}
		for _, pattern := range []string{"etc/apt/trusted.gpg.d/*.gpg", "etc/apt/trusted.gpg.d/*.asc"} {
			found, err := fs.Glob(s.base, pattern)
			if err != nil {
				return nil, err
			}
			names = append(names, found...)
		}
	}
	var keys [][]byte
	for _, name := range names {
		data, err := fs.ReadFile(s.base, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && strings.HasPrefix(strings.TrimSpace(string(data)), "-----BEGIN") {
			data, err = dearmour(string(data))
		}
		if err != nil {
			return nil, fmt.Errorf("base: keyring /%s: %w", name, err)
		}
		keys = append(keys, data)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: the base has no keyring for %s (looked for /%s); install its archive keyring in the base", src.file, src.uri, strings.Join(names, ", /"))
	}
	return keys, nil
}

// dearmour returns the keys in ASCII armour (RFC 9580, section 6.2), which gpgv
// doesn't read.
func dearmour(text string) ([]byte, error) {
	var keys []byte
	for {
		_, rest, found := strings.Cut(text, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
		if !found {
			break
		}
		body, rest, ended := strings.Cut(rest, "-----END PGP PUBLIC KEY BLOCK-----")
		_, body, headed := strings.Cut("\n"+body, "\n\n")
		if body, _, _ = strings.Cut(body, "\n="); !ended || !headed {
			return nil, errors.New("its armour is cut off")
		}
		key, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
		if err != nil {
			return nil, err
		}
		keys, text = append(keys, key...), rest
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key")
	}
	return keys, nil
}
