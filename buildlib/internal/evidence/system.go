package evidence

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/store"
)

// System is an image's distribution, with the packages in its package manager's
// database. The zero value is scratch.
type System struct {
	ID       string    `json:"id,omitempty"`      // os-release(5): alpine, debian
	Version  string    `json:"version,omitempty"` // VERSION_ID
	Name     string    `json:"name,omitempty"`    // PRETTY_NAME
	Packages []Package `json:"packages,omitempty"`
	Programs []Binary  `json:"programs,omitempty"` // Go's, by path
	// Incomplete says why there may be more than these. Empty: these are all.
	Incomplete string `json:"incomplete,omitempty"`
}

// Package is a package of a distribution.
type Package struct {
	Kind    string `json:"kind"` // as in package URLs: apk, deb
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`    // the distribution's word for it
	Source  string `json:"source,omitempty"`  // the source package and its version, if the database names one
	License string `json:"license,omitempty"` // as the database has it
}

func (p *Package) purl(s *System) string {
	distro := ""
	if s.ID != "" {
		distro = strings.TrimSuffix(s.ID+"-"+s.Version, "-")
	}
	namespace := cmp.Or(s.ID, map[string]string{"apk": "alpine", "deb": "debian"}[p.Kind])
	return purl(p.Kind, namespace+"/"+p.Name, p.Version, map[string]string{"arch": p.Arch, "distro": distro})
}

// databaseLimit bounds a database's file, in bytes. Debian's, of a full desktop, has
// 5 MB.
const databaseLimit = 64 << 20

// keptSystem is readSystem, kept in the cache by the layers' diff IDs.
func keptSystem(ctx context.Context, cache *store.Store, layers []layer) (System, error) {
	key := contentsFormat
	for _, l := range layers {
		key += " " + l.diffID.String()
	}
	var s System
	if cache.Load("system", key, &s) {
		return s, nil
	}
	s, err := readSystem(ctx, layers)
	if err == nil {
		cache.Save("system", key, s)
	}
	return s, err
}

// readSystem reads the databases that are there after all layers.
func readSystem(ctx context.Context, layers []layer) (System, error) {
	found := map[string][]byte{} // by path
	programs := map[string]Binary{}
	unread := map[string]bool{} // databases of other kinds
	for _, l := range layers {
		fresh := map[string][]byte{} // whiteouts hide what is in the layers below only
		freshPrograms := map[string]Binary{}
		err := l.walk(ctx, func(h *tar.Header, r io.Reader) error {
			name := clean(h.Name)
			dir, base := path.Split(name)
			if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
				hide(found, dir, hidden)
				hide(programs, dir, hidden)
				return nil
			}
			delete(found, name)
			delete(programs, name)
			if h.Typeflag != tar.TypeReg {
				return nil
			}
			if strings.HasPrefix(name, "var/lib/rpm/") || strings.HasPrefix(name, "usr/lib/sysimage/rpm/") {
				unread["rpm's"] = true
			}
			if strings.HasPrefix(name, "var/lib/pacman/local/") {
				unread["pacman's"] = true
			}
			if !wanted(name) {
				b, ok, err := readProgram(h, r)
				if ok {
					freshPrograms[name] = b
				}
				return err
			}
			if h.Size > databaseLimit {
				return fmt.Errorf("%s: %d bytes, more than the %d that are read", name, h.Size, databaseLimit)
			}
			data, err := io.ReadAll(r)
			fresh[name] = data
			return err
		})
		if err != nil {
			return System{}, err
		}
		maps.Copy(found, fresh)
		maps.Copy(programs, freshPrograms)
	}
	return parseSystem(found, programs, unread, len(layers) > 0), nil
}

func wanted(name string) bool {
	switch name {
	case "etc/os-release", "usr/lib/os-release", "lib/apk/db/installed", "usr/lib/apk/db/installed", "var/lib/dpkg/status":
		return true
	}
	// Distroless images have a file per package, with its files beside it.
	return path.Dir(name) == "var/lib/dpkg/status.d" || path.Dir(name) == "var/lib/dpkg/info" && strings.HasSuffix(name, ".list")
}

// hide removes what a whiteout hides (OCI image spec, layer.md).
func hide[T any](found map[string]T, dir, hidden string) {
	at := dir + hidden
	if hidden == ".wh..opq" {
		at = strings.TrimSuffix(dir, "/")
	}
	all := at == "" && hidden == ".wh..opq" // an opaque root
	maps.DeleteFunc(found, func(name string, _ T) bool { return all || name == at || strings.HasPrefix(name, at+"/") })
}

func parseSystem(found map[string][]byte, programs map[string]Binary, unread map[string]bool, layers bool) System {
	var s System
	release, ok := found["etc/os-release"]
	if !ok {
		release = found["usr/lib/os-release"]
	}
	for key, value := range fields(release, "=") {
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			s.ID = value
		case "VERSION_ID":
			s.Version = value
		case "PRETTY_NAME":
			s.Name = value
		}
	}
	databases := 0
	for _, name := range slices.Sorted(maps.Keys(found)) {
		switch {
		case strings.HasSuffix(name, "apk/db/installed"):
			s.Packages = append(s.Packages, stanzas(found[name], ":", apkPackage)...)
		case strings.HasPrefix(name, "var/lib/dpkg/status") && !strings.HasSuffix(name, ".md5sums"):
			s.Packages = append(s.Packages, stanzas(found[name], ": ", debPackage)...)
		default:
			continue
		}
		databases++
	}
	slices.SortFunc(s.Packages, func(a, b Package) int {
		return strings.Compare(a.Name+" "+a.Arch+" "+a.Version, b.Name+" "+b.Arch+" "+b.Version)
	})
	s.Packages = slices.Compact(s.Packages)
	var unknown []string
	s.Programs, unknown = sortPrograms(programs, found)
	switch {
	case len(unread) > 0:
		s.Incomplete = strings.Join(slices.Sorted(maps.Keys(unread)), " and ") + " database is not read"
	case layers && databases == 0:
		s.Incomplete = "the base has no known package database (apk's, dpkg's)"
	case len(unknown) > 0:
		s.Incomplete = unknownPrograms(unknown)
	}
	return s
}

// stanzas parses a database of paragraphs, separated by empty lines.
func stanzas(data []byte, separator string, parse func(map[string]string) (Package, bool)) []Package {
	var list []Package
	for paragraph := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		if p, ok := parse(fields(paragraph, separator)); ok && p.Name != "" && p.Version != "" {
			list = append(list, p)
		}
	}
	return list
}

// fields are the values of a paragraph. The first of a key counts, and the first of
// its lines.
func fields(paragraph []byte, separator string) map[string]string {
	list := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(paragraph))
	lines.Buffer(nil, databaseLimit)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), separator)
		if _, again := list[key]; ok && !again && !strings.HasPrefix(key, " ") {
			list[key] = strings.TrimSpace(value)
		}
	}
	return list
}

// apkPackage reads a paragraph of apk's database (apk-v2(5), "installed").
func apkPackage(f map[string]string) (Package, bool) {
	p := Package{Kind: "apk", Name: f["P"], Version: f["V"], Arch: f["A"], License: f["L"]}
	if f["o"] != "" {
		p.Source = f["o"] + " " + p.Version
	}
	return p, true
}

// debPackage reads a paragraph of dpkg's (dpkg-query(1), deb-control(5)).
func debPackage(f map[string]string) (Package, bool) {
	source := f["Source"]
	if name, version, ok := strings.Cut(source, " ("); ok {
		source = name + " " + strings.TrimSuffix(version, ")")
	} else if source != "" {
		source += " " + f["Version"]
	}
	status := f["Status"]
	return Package{Kind: "deb", Name: f["Package"], Version: f["Version"], Arch: f["Architecture"], Source: source},
		status == "" || strings.HasSuffix(status, " installed")
}
