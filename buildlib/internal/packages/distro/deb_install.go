package distro

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// Install implements Manager.
func (s *debSystem) Install(ctx context.Context, client *packages.Client, list []packages.Package, wanted, ignore []string, to *packages.Contents) error {
	in := &installer{debSystem: s, to: to, owners: map[string]string{}, done: map[string]*unpacked{}, by: map[string]*unpacked{}, written: map[string]string{}}
	var err error
	if in.rules, err = readRules(s.base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if in.accounts, err = packages.ReadAccounts(s.base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.installed)) { // of what several have, the last is the owner
		p := s.installed[name]
		paths, err := fs.ReadFile(s.base, "var/lib/dpkg/info/"+p.infoName()+".list")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("base: %w", err)
		}
		for line := range strings.Lines(string(paths)) {
			in.owners[strings.TrimSuffix(line, "\n")] = p.name
		}
	}
	for _, p := range list {
		if err := in.unpack(ctx, client, p); err != nil {
			return fmt.Errorf("package %s: %w", p, err)
		}
	}
	if err := in.links(); err != nil {
		return err
	}
	in.removed()
	if err := errors.Join(in.scripts(ignore), in.libraries(ignore)); err != nil {
		return err
	}
	if err := in.accounts.Write(to); err != nil {
		return err
	}
	return in.database(wanted)
}
