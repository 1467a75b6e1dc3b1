package distro

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what apk signs, and names packages by
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// The forms of Alpine's names; what they provide (so:, cmd:, pc:, /bin/sh) may
// have more.
var (
	apkName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9+._-]*$`)
	apkVersion = regexp.MustCompile(`^[0-9][A-Za-z0-9+._~-]*$`)
	apkNeed    = regexp.MustCompile(`^(!?)([^<>=~@]+)(?:([<>]=?|=~?|~=?|><)(.+))?$`)
)

// parseApkNeeds parses dependencies: NAME, NAME>=VERSION, !NAME.
func parseApkNeeds(text string) (needs []group, conflicts []relation, err error) {
	for _, word := range strings.Fields(text) {
		m := apkNeed.FindStringSubmatch(strings.SplitN(word, "@", 2)[0])
		if m == nil || m[3] == "><" {
			return nil, nil, fmt.Errorf("%.80q is not a dependency", word)
		}
		r := relation{name: m[2], op: m[3], version: m[4], compare: compareApk}
		switch {
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

// eachApkEntry calls f with the entries of an index or of the database of what
// is installed: lines of a letter, a colon and a value.
func eachApkEntry(r io.Reader, f func(lines []string) error) error {
	scan := bufio.NewScanner(&limited{r, maxIndex})
	scan.Buffer(nil, maxStanza)
	var lines []string
	for scan.Scan() {
		if line := scan.Text(); line != "" {
			if len(line) < 2 || line[1] != ':' {
				return fmt.Errorf("line %.80q has no letter and colon", line)
			}
			lines = append(lines, line)
			continue
		}
		if len(lines) > 0 {
			if err := f(lines); err != nil {
				return err
			}
		}
		lines = nil
	}
	if scan.Err() == nil && len(lines) > 0 {
		return f(lines)
	}
	return scan.Err()
}

// newApk makes a package of an entry.
func newApk(lines []string) (*pkg, error) {
	p := &pkg{parsed: true, text: strings.Join(lines, "\n")}
	var needs, gives, with string
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
		case 'F':
			goto done
		}
	}
done:
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
		if g[0].op == "=" { // of a name with a version there is one provider
			p.exclusive = append(p.exclusive, g[0].name)
		}
	}
	p.exclusive = append(p.exclusive, p.name)
	return p, nil
}

// universe fetches the indexes of the base's repositories.
func (s *apkSystem) universe(ctx context.Context, client *packages.Client) (*universe, error) {
	u := &universe{compare: compareApk, named: map[string][]*pkg{}, provided: map[string][]*pkg{}}
	lines, err := readLines(s.base, "etc/apk/repositories")
	if err != nil {
		return nil, err
	}
	for _, repository := range lines {
		if strings.HasPrefix(repository, "@") {
			continue // packages of a tagged one are taken only by NAME@TAG
		}
		if at, err := url.Parse(repository); err != nil || at.Scheme != "https" && at.Scheme != "http" {
			return nil, fmt.Errorf("base: /etc/apk/repositories: %q: only repositories at http and https are read", repository)
		}
		at := strings.TrimSuffix(repository, "/") + "/" + s.arch
		var signed []byte
		if err := client.Get(ctx, at+"/APKINDEX.tar.gz", func(r io.Reader) (err error) {
			signed, err = io.ReadAll(&limited{r, maxIndex})
			return err
		}); err != nil {
			return nil, err
		}
		if err := s.readIndex(signed, at, u); err != nil {
			return nil, fmt.Errorf("%s/APKINDEX.tar.gz: %w", at, err)
		}
	}
	if len(u.named) == 0 {
		return nil, fmt.Errorf("base: /etc/apk/repositories names no repository that has packages for %s", s.arch)
	}
	u.sort()
	return u, nil
}

// readIndex checks the signature of an index and adds its packages.
func (s *apkSystem) readIndex(signed []byte, at string, u *universe) error {
	in := bytes.NewReader(signed)
	members, err := tarMembers(in)
	if err != nil {
		return err
	}
	content := signed[len(signed)-in.Len():]
	if err := s.verify(members, content); err != nil {
		return err
	}
	list, err := tarMembers(in)
	if err != nil {
		return err
	}
	if list["APKINDEX"] == nil {
		return errors.New("has no list of packages")
	}
	return eachApkEntry(bytes.NewReader(list["APKINDEX"]), func(lines []string) error {
		p, err := newApk(lines)
		if err != nil {
			return err
		}
		if p.arch != s.arch && p.arch != "noarch" {
			return nil
		}
		p.url = at + "/" + url.PathEscape(p.name+"-"+p.version) + ".apk"
		u.add(p)
		return nil
	})
}

// verify checks that a key which the base trusts has signed the content.
func (s *apkSystem) verify(signatures map[string][]byte, content []byte) error {
	var names []string
	for name, signature := range signatures {
		hash, kind := crypto.SHA1, strings.TrimPrefix(name, ".SIGN.RSA.")
		sum := sha1.Sum(content) //nolint:gosec // see above
		digest := sum[:]
		if key, ok := strings.CutPrefix(name, ".SIGN.RSA256."); ok {
			sum := sha256.Sum256(content)
			hash, kind, digest = crypto.SHA256, key, sum[:]
		}
		if kind == name || strings.ContainsAny(kind, "/\\") {
			continue
		}
		names = append(names, kind)
		data, err := fs.ReadFile(s.base, "etc/apk/keys/"+kind)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return fmt.Errorf("base: key /etc/apk/keys/%s is not in PEM", kind)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("base: key /etc/apk/keys/%s: %w", kind, err)
		}
		public, ok := key.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("base: key /etc/apk/keys/%s is not RSA", kind)
		}
		if err := rsa.VerifyPKCS1v15(public, hash, digest, signature); err != nil {
			return fmt.Errorf("its signature by %s is wrong: %w", kind, err)
		}
		return nil
	}
	if len(names) == 0 {
		return errors.New("is not signed")
	}
	return fmt.Errorf("is signed by %s, which is not among the base's /etc/apk/keys", strings.Join(names, ", "))
}

// tarMembers reads one gzip stream, and no byte more, of a tar archive, which
// need have no end.
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

// q1 is how apk writes the SHA-1 of what it names.
func q1(sum [sha1.Size]byte) string { return "Q1" + base64.StdEncoding.EncodeToString(sum[:]) }
