package distro

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// loaded matches the folders in which Debian's dynamic loader looks without
// /etc/ld.so.cache (ld.so(8)). For them ldconfig needn't run: packages have the
// links that it would make (Debian policy 8.1), and the base's cache stays right for
// what it lists.
var loaded = regexp.MustCompile(`^(/usr)?/lib(64|32)?(/[a-z0-9_]+-linux-gnu[a-z0-9_]*)?$`)

// cachedOnly lists the libraries in to that programs find only with the cache: those
// in other folders, which a file in /etc/ld.so.conf.d names (ldconfig(8)).
func cachedOnly(base fs.FS, to *packages.Contents) ([]string, error) {
	var folders []string
	read := func(text string) {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); path.IsAbs(line) && !loaded.MatchString(path.Clean(line)) {
				folders = append(folders, merged(path.Clean(line)))
			}
		}
	}
	names, err := fs.Glob(base, "etc/ld.so.conf.d/*.conf")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(base, name)
		if err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
		read(string(text))
	}
	all := to.Entries()
	for _, e := range all {
		if path.Dir(e.Path) == "/etc/ld.so.conf.d" && strings.HasSuffix(e.Path, ".conf") && e.Type == tar.TypeReg {
			text, err := io.ReadAll(io.LimitReader(to.Open(e), 1<<20)) // more than any has
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.Path, err)
			}
			read(string(text))
		}
	}
	var found []string
	for _, e := range all {
		library := strings.HasSuffix(e.Path, ".so") || strings.Contains(path.Base(e.Path), ".so.")
		if library && slices.Contains(folders, merged(path.Dir(e.Path))) {
			found = append(found, e.Path)
		}
	}
	return found, nil
}

// merged is a path without /usr, which is the same where /usr is merged.
func merged(p string) string { return strings.TrimPrefix(p, "/usr") }
