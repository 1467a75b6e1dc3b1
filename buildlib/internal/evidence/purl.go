package evidence

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// purl writes a package URL (github.com/package-url/purl-spec): of the elements
// of name, all but the last are the namespace. An empty version, and empty
// qualifiers, are left out.
func purl(kind, name, version string, qualifiers map[string]string) string {
	elements := strings.Split(name, "/")
	for i, e := range elements {
		elements[i] = escape(e, "")
	}
	p := "pkg:" + kind + "/" + strings.Join(elements, "/")
	if version != "" {
		p += "@" + escape(version, "")
	}
	mark := "?"
	for _, key := range slices.Sorted(maps.Keys(qualifiers)) {
		if qualifiers[key] != "" {
			p += mark + key + "=" + escape(qualifiers[key], "/:")
			mark = "&"
		}
	}
	return p
}

// imagePurl names an image in a repository, which may be empty.
func imagePurl(name, repository, digest, arch string) string {
	return purl("oci", strings.ToLower(path.Base(name)), digest, map[string]string{"repository_url": repository, "arch": arch})
}

func modulePurl(m Module) string {
	version := m.Version
	if version == develVersion {
		version = ""
	}
	return purl("golang", m.Path, version, nil)
}

// escape percent-encodes what isn't unreserved (RFC 3986, 2.3) or in also.
func escape(s, also string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~"+also, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
