package distro

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/packages"
)

// universe fetches the lists of the base's sources.
func (s *debSystem) universe(ctx context.Context, client *packages.Client) (*universe, error) {
	sources, err := s.sources()
	if err != nil {
		return nil, err
	}
	u := newUniverse(compareDeb)
	releases, read := map[string]*release{}, map[string]bool{}
	for _, src := range sources {
		r := releases[src.folder()]
		if r == nil {
			if r, err = s.release(ctx, client, src); err != nil {
				return nil, err
			}
			releases[src.folder()] = r
		}
		for _, name := range src.indexes(s.arch) {
			at, sum, file, ok := r.locate(src.folder(), name)
			if !ok || read[at] {
				continue // a suite need not have every architecture
			}
			read[at] = true
			blob, err := client.Open(ctx, at, sum, maxIndex)
			if err != nil {
				return nil, err
			}
			err = packages.Decompress(ctx, file, blob, func(list io.Reader) error { return u.read(list, s.arch, src, r) })
			blob.Close()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
		}
	}
	if len(read) == 0 {
		return nil, fmt.Errorf("base: its apt sources have no packages for %s", s.arch)
	}
	u.sort()
	return u, nil
}

func (u *universe) read(list io.Reader, arch string, src source, r *release) error {
	return eachStanza(list, func(st stanza) error {
		if a := st.get("architecture"); a != arch && a != "all" {
			return nil
		}
		p, err := newPkg(st)
		if err != nil {
			return err
		}
		if len(p.sha256) != 64 {
			return fmt.Errorf("package %s has no SHA256", p.name)
		}
		file, err := packages.CleanPath(st.get("filename"))
		if err != nil {
			return fmt.Errorf("package %s: %w", p.name, err)
		}
		p.url = src.root() + file
		p.last = r.optional
		p.rank = slices.Index([]string{"required", "important", "standard"}, st.get("priority"))
		if p.rank < 0 {
			p.rank = 3
		}
		u.add(p)
		return nil
	})
}

// Choose implements Manager.
func (s *debSystem) Choose(ctx context.Context, client *packages.Client, wanted []string) ([]packages.Package, error) {
	u, err := s.universe(ctx, client)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(u, s.installed, wanted)
	return locked(chosen), err
}
