package distro

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// debSystem is a base with dpkg.
type debSystem struct {
	base      fs.FS
	arch      string
	installed map[string]*pkg
}

// statusPath is dpkg's database.
const statusPath = "var/lib/dpkg/status"

// debArch returns Debian's name of a platform; empty: it has none.
func debArch(arch, variant string) string {
	if arch == "arm" && (variant == "v5" || variant == "v6") {
		return "armel"
	}
	return map[string]string{
		"386": "i386", "amd64": "amd64", "arm": "armhf", "arm64": "arm64", "loong64": "loong64", "mips64le": "mips64el", "mipsle": "mipsel",
		"ppc64le": "ppc64el", "riscv64": "riscv64", "s390x": "s390x",
	}[arch]
}

// openDeb reads what the base has installed for arch, Debian's name of an
// architecture.
func openDeb(base fs.FS, arch string) (*debSystem, error) {
	s := &debSystem{base: base, arch: arch, installed: map[string]*pkg{}}
	f, err := base.Open(statusPath)
	if err != nil {
		return nil, fmt.Errorf("base: dpkg's database: %w", err)
	}
	defer f.Close()
	err = eachStanza(f, func(st stanza) error {
		if st.get("version") == "" {
			return nil // known, but never installed
		}
		p, err := newPkg(st)
		if err != nil {
			return err
		}
		p.text = st.text
		if state := strings.Fields(st.get("status")); len(state) != 3 || state[2] != "installed" {
			return nil
		}
		if p.arch != s.arch && p.arch != "all" {
			return nil // of a foreign architecture
		}
		s.installed[p.name] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("base: /%s: %w", statusPath, err)
	}
	// A base that was made by hand may have a dpkg for all architectures.
	if len(s.installed) == 0 || s.installed["dpkg"] != nil {
		return s, nil
	}
	for _, p := range s.installed {
		if p.arch == s.arch {
			return s, nil
		}
	}
	return nil, errors.New("base: none of its packages is for " + s.arch)
}
