package packages

import (
	"archive/tar"
	"crypto/sha1" //nolint:gosec // what OpenSSL calls its files by
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// Certificates makes the bundle /etc/ssl/certs/ca-certificates.crt of the
// certificates in /usr/share/ca-certificates and /usr/local/share/ca-certificates,
// of packages and base, and of each a link, whose name starts with prefix, as update-ca-certificates(8) does.
// OpenSSL looks for them by hash, so there is a link of that name, too.
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
		if strings.HasSuffix(p, ".crt") && e.Type == tar.TypeReg && strings.Contains(path.Dir(p)+"/", "/share/ca-certificates/") {
			data, err := io.ReadAll(c.Open(*e))
			if err != nil {
				return err
			}
			certs[p] = string(data)
		}
	}
	var names []string
	for p := range certs {
		names = append(names, p)
	}
	slices.Sort(names)
	for p := range c.entries {
		if hashLink.MatchString(p) { // of an earlier call
			delete(c.entries, p)
		}
	}
	var bundle, conf strings.Builder
	for _, p := range names {
		bundle.WriteString(strings.TrimRight(certs[p], "\n") + "\n")
		link := "/etc/ssl/certs/" + prefix + strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(strings.TrimSuffix(path.Base(p), ".crt")) + ".pem"
		if err := c.Add(Entry{Path: link, Type: tar.TypeSymlink, Mode: 0o777, Link: p}, nil); err != nil {
			return err
		}
		if hash, ok := subjectHash(certs[p]); ok {
			n := 0
			for c.entries[fmt.Sprintf("/etc/ssl/certs/%s.%d", hash, n)] != nil {
				n++
			}
			if err := c.Add(Entry{Path: fmt.Sprintf("/etc/ssl/certs/%s.%d", hash, n), Type: tar.TypeSymlink, Mode: 0o777, Link: path.Base(link)}, nil); err != nil {
				return err
			}
		}
		if rel, ok := strings.CutPrefix(p, "/usr/share/ca-certificates/"); ok {
			conf.WriteString(rel + "\n")
		}
	}
	if _, err := fs.Stat(base, "etc/ca-certificates.conf"); err != nil {
		if err := c.Text("/etc/ca-certificates.conf", 0o644, conf.String()); err != nil {
			return err
		}
	}
	return c.Text("/etc/ssl/certs/ca-certificates.crt", 0o644, bundle.String())
}

var hashLink = regexp.MustCompile(`^/etc/ssl/certs/[0-9a-f]{8}\.\d+$`)

// subjectHash is by what OpenSSL looks for a certificate in a folder, as
// "openssl x509 -subject_hash" prints it: of the subject with its texts in
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
	type attributeSET attributes // encoding/asn1 takes a type of such a name for a SET
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
