package distro

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// apkFile is a package of Alpine (format 2): three gzip streams, of which the
// first, the signature, may be missing.
type apkFile struct {
	sum     string // the control part's, as in the index
	info    map[string][]string
	scripts map[string][]byte
	data    []byte // compressed
	length  int
}

// apkScripts are the scripts that a package may have.
var apkScripts = []string{".pre-install", ".post-install", ".pre-upgrade", ".post-upgrade", ".pre-deinstall", ".post-deinstall", ".trigger"}

func splitApk(data []byte) (*apkFile, error) {
	in := bytes.NewReader(data)
	a := &apkFile{scripts: map[string][]byte{}, info: map[string][]string{}, length: len(data)}
	var members map[string][]byte
	for {
		start := len(data) - in.Len()
		var err error
		if members, err = tarMembers(in); err != nil {
			return nil, fmt.Errorf("is not a package: %w", err)
		}
		if members[".PKGINFO"] != nil {
			a.sum = q1(sha1.Sum(data[start : len(data)-in.Len()])) //nolint:gosec // see above
			break
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(members)), func(n string) bool { return strings.HasPrefix(n, ".SIGN.") }) {
			return nil, errors.New("is not a package: it has no .PKGINFO")
		}
	}
	for _, name := range apkScripts {
		if text := members[name]; text != nil {
			a.scripts[name[1:]] = text
		}
	}
	for line := range strings.Lines(string(members[".PKGINFO"])) {
		if key, value, ok := strings.Cut(line, " = "); ok && line[0] != '#' {
			a.info[key] = append(a.info[key], strings.TrimSpace(value))
		}
	}
	a.data = data[len(data)-in.Len():]
	sum := sha256.Sum256(a.data)
	if want := a.get("datahash"); want != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("its data are not what its .PKGINFO says (%s)", want)
	}
	return a, nil
}

func (a *apkFile) get(key string) string { return strings.Join(a.info[key], " ") }
