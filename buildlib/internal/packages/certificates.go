package packages

import (
	"archive/tar"
	"crypto/sha1" //nolint:gosec // OpenSSL names its files by it
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// Certificates does what update-ca-certificates(8) does: it makes the bundle
// /etc/ssl/certs/ca-certificates.crt of the certificates in /usr/share/ca-certificates
// and /usr/local/share/ca-certificates, and a link to each, whose name starts with
// prefix. OpenSSL looks for them by hash, so there is a link of that name, too.
func (c *Contents) Certificates(base fs.FS, prefix string) error {
	certs := map[string]string{} // by path
	for _, folder := range []string{"usr/share/ca-certificates", "usr/local/share/ca-certificates"} {
		err := fs.WalkDir(base, folder, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(p, ".crt") || d.IsDir() {
				return nil //nolint:nilerr // a folder that isn't there has none
			}
			data, err := fs.ReadFile(base, p)
			certs["/"+p] = string(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	for p, e := range c.entries {
		if e.Type != tar.TypeReg {
			delete(certs, p) // it was the base's
		} else if strings.HasSuffix(p, ".crt") && strings.Contains(path.Dir(p)+"/", "/share/ca-certificates/") {
			data, err := io.ReadAll(c.Open(*e))
			if err != nil {
				return err
			}
			certs[p] = string(data)
		}
	}
	if err := c.selectCertificates(base, certs); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(certs))
	for p := range c.entries {
		if hashLink.MatchString(p) { // of an earlier call
			delete(c.entries, p)
		}
	}
	var bundle strings.Builder
	for _, p := range names {
		bundle.WriteString(strings.TrimRight(certs[p], "\n") + "\n")
		link := "/etc/ssl/certs/" + prefix + strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(strings.TrimSuffix(path.Base(p), ".crt")) + ".pem"
		if err := c.Symlink(link, p); err != nil {
			return err
		}
		if hash, ok := subjectHash(certs[p]); ok {
			hashed := func(n int) string { return fmt.Sprintf("/etc/ssl/certs/%s.%d", hash, n) }
			n := 0
			for c.entries[hashed(n)] != nil {
				n++
			}
			if err := c.Symlink(hashed(n), path.Base(link)); err != nil {
				return err
			}
		}
	}
	return c.Text("/etc/ssl/certs/ca-certificates.crt", 0o644, bundle.String())
}

// selectCertificates takes away the certificates that the base deselects in
// /etc/ca-certificates.conf. Those that it doesn't name are added there, and those
// that have gone deselected, as the package's postinst does.
func (c *Contents) selectCertificates(base fs.FS, certs map[string]string) error {
	const conf, folder = "/etc/ca-certificates.conf", "/usr/share/ca-certificates/"
	was, err := fs.ReadFile(base, conf[1:])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var text strings.Builder
	named := map[string]bool{}
	for line := range strings.Lines(string(was)) {
		line = strings.TrimSpace(line)
		name, deselected := strings.CutPrefix(line, "!")
		named[name] = true
		if deselected {
			delete(certs, folder+name)
		} else if _, there := certs[folder+line]; !there && line != "" && line[0] != '#' {
			line = "!" + line
		}
		text.WriteString(line + "\n")
	}
	for _, p := range slices.Sorted(maps.Keys(certs)) {
		if name, ok := strings.CutPrefix(p, folder); ok && !named[name] {
			text.WriteString(name + "\n")
		}
	}
	if err == nil && text.String() == string(was) {
		return nil
	}
	return c.Text(conf, 0o644, text.String())
}

var hashLink = regexp.MustCompile(`^/etc/ssl/certs/[0-9a-f]{8}\.\d+$`)

// subjectHash is the name by which OpenSSL looks for a certificate in a folder, as
// "openssl x509 -subject_hash" prints it: a hash of the subject, with its texts in
// UTF-8, lower case and single spaces.
func subjectHash(text string) (string, bool) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return "", false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", false
	}
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type attributes []attribute
	type attributeSET attributes // encoding/asn1 takes a type whose name ends so for a SET
	var subject []attributeSET
	if _, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil {
		return "", false
	}
	sum := sha1.New() //nolint:gosec // see above
	for _, set := range subject {
		for i, a := range set {
			v := string(a.Value.Bytes)
			switch a.Value.Tag {
			case asn1.TagBMPString:
				var units []uint16
				for i := 0; i+1 < len(v); i += 2 {
					units = append(units, uint16(v[i])<<8|uint16(v[i+1]))
				}
				v = string(utf16.Decode(units))
			case asn1.TagT61String:
				var runes []rune
				for i := range len(v) {
					runes = append(runes, rune(v[i]))
				}
				v = string(runes)
			case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String:
			default:
				continue
			}
			v = strings.Map(func(r rune) rune {
				if r >= 'A' && r <= 'Z' {
					r += 'a' - 'A'
				}
				return r
			}, strings.Join(strings.Fields(v), " "))
			set[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(v)}
		}
		der, err := asn1.Marshal(set)
		if err != nil {
			return "", false
		}
		sum.Write(der)
	}
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum.Sum(nil))), true
}
