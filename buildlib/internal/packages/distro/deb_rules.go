package distro

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// rules are what a base decides about the files of packages: which are left out,
// which go elsewhere, and who owns them.
type rules struct {
	filters   []filter
	diversion map[string]diversion
	overrides map[string]packages.Entry
}

// filter is a path-exclude or path-include of dpkg's configuration (dpkg(1)).
type filter struct {
	include bool
	match   *regexp.Regexp
	literal string // what comes before the first wildcard
}

type diversion struct{ to, by string }

// configName matches the names that dpkg reads in dpkg.cfg.d, unlike those that end
// in .bak (dpkg(1), "FILES").
var configName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func readRules(base fs.FS) (*rules, error) {
	r := &rules{diversion: map[string]diversion{}, overrides: map[string]packages.Entry{}}
	files, err := fs.Glob(base, "etc/dpkg/dpkg.cfg.d/*")
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(name string) bool { return !configName.MatchString(path.Base(name)) })
	// dpkg reads the folder first.
	for _, name := range append(files, "etc/dpkg/dpkg.cfg") {
		lines, err := readSettings(base, name)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			key, pattern := line, ""
			if at := strings.IndexAny(line, "= "); at >= 0 {
				key, pattern = line[:at], line[at+1:]
			}
			if key == "path-exclude" || key == "path-include" {
				r.filters = append(r.filters, newFilter(key == "path-include", strings.TrimSpace(pattern)))
			}
		}
	}
	lines, err := readLines(base, "var/lib/dpkg/diversions")
	if err != nil {
		return nil, err
	}
	if len(lines)%3 != 0 {
		return nil, fmt.Errorf("/var/lib/dpkg/diversions has %d lines, not three for each", len(lines))
	}
	for d := range slices.Chunk(lines, 3) {
		r.diversion[d[0]] = diversion{d[1], d[2]}
	}
	if lines, err = readLines(base, "var/lib/dpkg/statoverride"); err != nil {
		return nil, err
	}
	passwd, err := packages.ReadAccounts(base)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) != 4 {
			return nil, fmt.Errorf("/var/lib/dpkg/statoverride: line %.80q doesn't have four words", line)
		}
		mode, err := strconv.ParseInt(words[2], 8, 32)
		uid, known := passwd.UID(strings.TrimPrefix(words[0], "#"))
		gid, also := passwd.GID(strings.TrimPrefix(words[1], "#"))
		if err != nil || !known || !also {
			return nil, fmt.Errorf("/var/lib/dpkg/statoverride: line %.80q doesn't name a mode and an owner", line)
		}
		r.overrides[words[3]] = packages.Entry{Mode: mode, UID: uid, GID: gid}
	}
	return r, nil
}

// readLines returns the lines of a file that aren't empty; of a missing file, none.
func readLines(base fs.FS, name string) ([]string, error) {
	data, err := fs.ReadFile(base, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, err
}

// readSettings is readLines without comments.
func readSettings(base fs.FS, name string) ([]string, error) {
	lines, err := readLines(base, name)
	return slices.DeleteFunc(lines, func(line string) bool { return line[0] == '#' }), err
}

func newFilter(include bool, pattern string) filter {
	f := filter{include: include, literal: pattern}
	if at := strings.IndexAny(pattern, `*?[\`); at >= 0 {
		f.literal = pattern[:at]
	}
	f.literal = strings.TrimRight(f.literal, "/")
	// As fnmatch(3) without flags: * matches slashes, too.
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".", `\[`, "[", `\]`, "]").Replace(regexp.QuoteMeta(pattern))
	var err error
	if f.match, err = regexp.Compile("^(?s:" + quoted + ")$"); err != nil {
		f.match = regexp.MustCompile("^" + regexp.QuoteMeta(pattern) + "$")
	}
	return f
}

// excluded tells that the base leaves the path out. A directory in which something
// may be included is kept.
func (r *rules) excluded(e packages.Entry) bool {
	skip := false
	for _, f := range r.filters {
		if f.match.MatchString(e.Path) {
			skip = !f.include
		}
	}
	if !skip || e.Type != tar.TypeDir && e.Type != tar.TypeSymlink {
		return skip
	}
	return !slices.ContainsFunc(r.filters, func(f filter) bool {
		return f.include && strings.HasPrefix(e.Path, f.literal)
	})
}

// diverted is where the package's file p goes (dpkg-divert(1)).
func (r *rules) diverted(p, by string) string {
	if d, ok := r.diversion[p]; ok && d.by != by {
		return d.to
	}
	return p
}

// override sets the owner and mode that dpkg-statoverride(1) has recorded.
func (r *rules) override(e *packages.Entry) {
	if o, ok := r.overrides[e.Path]; ok {
		e.Mode, e.UID, e.GID = o.Mode, o.UID, o.GID
	}
}
