package distro

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// loaded are the folders that Debian's dynamic loader looks in by itself, without
// /etc/ld.so.cache (ld.so(8)). So ldconfig needn't run: packages have the links that
// it would make (Debian policy 8.1), and a cache that the base has stays right for
// what it lists.
var loaded = regexp.MustCompile(`^(/usr)?/lib(64|32)?(/[a-z0-9_]+-linux-gnu[a-z0-9_]*)?$`)

// libraries refuses new libraries that programs find only with the cache: those in
// other folders, which a file in /etc/ld.so.conf.d names (ldconfig(8)).
func (in *installer) libraries(ignore []string) error {
	var folders []string
	read := func(text string) {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); path.IsAbs(line) && !loaded.MatchString(path.Clean(line)) {
				folders = append(folders, merged(path.Clean(line)))
			}
		}
	}
	names, err := fs.Glob(in.base, "etc/ld.so.conf.d/*.conf")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(in.base, name)
		if err != nil {
			return fmt.Errorf("base: %w", err)
		}
		read(string(text))
	}
	all := in.to.Entries()
	for _, e := range all {
		if path.Dir(e.Path) == "/etc/ld.so.conf.d" && strings.HasSuffix(e.Path, ".conf") && e.Type == tar.TypeReg {
			lines := bufio.NewScanner(in.to.Open(e))
			for lines.Scan() {
				read(lines.Text())
			}
			if err := lines.Err(); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
	}
	for _, e := range all {
		u := in.by[e.Path]
		library := strings.HasSuffix(e.Path, ".so") || strings.Contains(path.Base(e.Path), ".so.")
		if u == nil || !library || in.owners[e.Path] != "" || slices.Contains(ignore, u.name) || !slices.Contains(folders, merged(path.Dir(e.Path))) {
			continue
		}
		return &packages.ScriptError{Package: u.String(), Script: "triggers", Line: "ldconfig, for " + e.Path}
	}
	return nil
}

// merged is a path without the /usr that it may have.
func merged(p string) string { return strings.TrimPrefix(p, "/usr") }
