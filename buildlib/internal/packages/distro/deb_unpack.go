package distro

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// unpacked is a package whose files are in the contents.
type unpacked struct {
	*pkg
	control   stanza
	members   map[string]member
	list      []string          // its paths, in the archive's order
	conffiles []string          // paths
	sums      map[string]string // MD5 of conffiles, by path
}

// infoName is how the names of dpkg's files about the package begin.
func (p *pkg) infoName() string {
	if p.multi == "same" {
		return p.name + ":" + p.arch
	}
	return p.name
}

// installer unpacks packages onto a base.
type installer struct {
	*debSystem
	to       *packages.Contents
	rules    *rules
	accounts *packages.Accounts
	owners   map[string]string // the package of each of the base's paths
	done     map[string]*unpacked
	order    []*unpacked
	by       map[string]*unpacked // the new package of a path
	written  map[string]string    // texts of changed database files, by path
}

// text is what a database file holds by now.
func (in *installer) text(p string) string {
	if text, ok := in.written[p]; ok {
		return text
	}
	data, _ := fs.ReadFile(in.base, p[1:])
	return string(data)
}

// unpack adds one package's files.
func (in *installer) unpack(ctx context.Context, client *packages.Client, p packages.Package) error {
	blob, err := client.Open(ctx, p.URL, p.SHA256, p.Size)
	if err != nil {
		return err
	}
	defer blob.Close()
	u := &unpacked{sums: map[string]string{}, list: []string{"/."}}
	return readDeb(ctx, blob, func(members map[string]member) error {
		u.members = members
		if u.control, err = parseStanza(string(members["control"].data)); err != nil {
			return err
		}
		if u.pkg, err = newPkg(u.control); err != nil {
			return err
		}
		if u.name != p.Name || u.version != p.Version || u.arch != in.arch && u.arch != "all" {
			return fmt.Errorf("it is %s %s for %s", u.name, u.version, u.arch)
		}
		for line := range strings.Lines(string(members["conffiles"].data)) {
			// remove-on-upgrade is of files that the package no longer has.
			if line = strings.TrimSpace(line); line != "" && path.IsAbs(line) {
				u.conffiles = append(u.conffiles, line)
			}
		}
		in.done[u.name] = u
		in.order = append(in.order, u)
		return u.parse()
	}, func(e packages.Entry, r io.Reader) error { return in.add(u, e, r) })
}

// add adds one path of a package.
func (in *installer) add(u *unpacked, e packages.Entry, r io.Reader) error {
	if e.Path == "/" {
		return nil
	}
	u.list = append(u.list, e.Path)
	name := e.Path
	if in.rules.excluded(e) {
		return nil
	}
	if e.Type == tar.TypeDir {
		// A directory that is there keeps its owner and mode; the image's
		// layers see to that for the base's.
		in.to.Default(e)
		return nil
	}
	if e.Type == tar.TypeLink && !slices.Contains(u.list, e.Link) {
		return fmt.Errorf("%s: is a hard link to %s, which is not an earlier file of the package", e.Path, e.Link)
	}
	e.Path = in.rules.diverted(e.Path, u.name)
	if e.Type == tar.TypeLink {
		e.Link = in.rules.diverted(e.Link, u.name)
	}
	in.rules.override(&e)
	if skip, err := in.contested(u, e); err != nil || skip {
		return err
	}
	in.by[e.Path] = u
	if slices.Contains(u.conffiles, name) && e.Type == tar.TypeReg {
		data, err := io.ReadAll(&limited{r, maxConffile})
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		sum := md5.Sum(data)
		u.sums[name] = hex.EncodeToString(sum[:])
		if e.Path, err = in.conffile(u, e.Path, u.sums[name]); err != nil || e.Path == "" {
			return err
		}
		r = bytes.NewReader(data)
	}
	return in.to.Add(e, r)
}

// contested decides about a file that another package has, too: an error, unless
// one of them replaces the other (Debian policy 7.6.1). skip is set if the other's
// file stays.
func (in *installer) contested(u *unpacked, e packages.Entry) (skip bool, err error) {
	var other *pkg
	if o := in.by[e.Path]; o != nil && o != u {
		other = o.pkg
	} else if name := in.owners[e.Path]; name != "" && name != u.name && in.done[name] == nil {
		other = in.installed[name]
	}
	if other == nil {
		return false, nil
	}
	if err := other.parse(); err != nil {
		return false, err
	}
	replaces := func(p, q *pkg) bool {
		return slices.ContainsFunc(p.replaces, func(r relation) bool { return r.by(q) })
	}
	switch {
	case replaces(u.pkg, other):
		return false, nil
	case replaces(other, u.pkg):
		return true, nil
	}
	return false, fmt.Errorf("%s: is in package %s, too", e.Path, other)
}

const maxConffile = 64 << 20

// conffile decides where a configuration file goes; nowhere if that is empty. A
// file that was changed in the base stays, and the new one is put beside it, as
// dpkg does when it can't ask.
func (in *installer) conffile(u *unpacked, at, sum string) (string, error) {
	data, err := fs.ReadFile(in.base, strings.TrimPrefix(at, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil
	}
	if err != nil {
		return "", err
	}
	have := md5.Sum(data)
	was := ""
	if old := in.installed[u.name]; old != nil {
		was = conffiles(old)[at]
	}
	switch current := hex.EncodeToString(have[:]); {
	case current == was:
		return at, nil
	case current == sum || was == sum:
		return "", nil
	}
	return at + ".dpkg-dist", nil
}

// conffiles are the MD5 of the configuration files of a package in the base.
func conffiles(p *pkg) map[string]string {
	sums := map[string]string{}
	if s, err := parseStanza(p.text); err == nil {
		for line := range strings.Lines(s.get("conffiles")) {
			if words := strings.Fields(line); len(words) >= 2 {
				sums[words[0]] = words[1]
			}
		}
	}
	return sums
}

// links refuses hard links to a file that was left out, or that another package
// has taken over.
func (in *installer) links() error {
	for _, e := range in.to.Entries() {
		if e.Type != tar.TypeLink {
			continue
		}
		if t, ok := in.to.Get(e.Link); !ok || t.Type == tar.TypeDir || t.Type == packages.Removed {
			return fmt.Errorf("%s: is a hard link to %s, which isn't unpacked", e.Path, e.Link)
		}
	}
	return nil
}

// removed takes away the files that newer packages no longer have. Configuration
// files stay, as with dpkg.
func (in *installer) removed() {
	var gone []string
	for p, owner := range in.owners {
		if u := in.done[owner]; u == nil || slices.Contains(u.list, p) || in.by[p] != nil {
			continue
		}
		if _, is := conffiles(in.installed[owner])[p]; is {
			continue
		}
		gone = append(gone, p)
	}
	slices.Sort(gone)
	above := map[string]bool{}
	for p := range in.owners {
		above[path.Dir(p)] = true
	}
	for _, p := range gone {
		// Directories stay: others may have put files into them.
		if _, set := in.to.Get(p); !set && !above[p] {
			_ = in.to.Add(packages.Entry{Path: in.rules.diverted(p, in.owners[p]), Type: packages.Removed}, nil)
		}
	}
}
