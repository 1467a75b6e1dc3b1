package buildlib

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/base"
	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/packages/distro"
	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// packagesFormat is increased when the same packages would give other files.
const packagesFormat = 2

// manager finds the package manager of a base.
func (a *assembly) manager(ctx context.Context, from *base.Base, p v1.Platform) (distro.Manager, error) {
	layers, err := from.Image.Layers()
	if err != nil {
		return nil, err
	}
	files, err := from.Tree.ReadContents(ctx, len(layers), func(i int) (io.ReadCloser, error) { return layers[i].Compressed() }, distro.Folders)
	if err != nil {
		return nil, err
	}
	return distro.Open(files, p.Architecture, p.Variant)
}

func (a *assembly) packageClient() *packages.Client {
	return &packages.Client{Cache: a.w.store, Transport: a.w.options.Transport}
}

// choosePackages chooses the packages of an image on a platform, and returns
// the digest of the base that they were chosen for.
func (a *assembly) choosePackages(ctx context.Context, pp PlatformPlan) ([]packages.Package, string, error) {
	from, err := a.base(ctx, pp.Base, pp.Platform.spec())
	if err != nil {
		return nil, "", err
	}
	if from == nil {
		return nil, "", distro.ErrNone
	}
	m, err := a.manager(ctx, from, pp.Platform.spec())
	if err != nil {
		return nil, "", fmt.Errorf("base %s: %w", pp.Base, err)
	}
	list, err := m.Choose(ctx, a.packageClient(), pp.Packages)
	return list, from.Digest.String(), err
}

// checkLock is an error if the lock isn't for the plan's packages and base.
func (pp PlatformPlan) checkLock(from *base.Base) error {
	again := func(why string) error {
		return fmt.Errorf("%s %s: run Builder.Lock, and commit the file", packages.LockFile, why)
	}
	switch l := pp.Lock; {
	case l == nil:
		return again("has no entry for its packages")
	case !slices.Equal(l.Wanted, pp.Packages):
		return again(fmt.Sprintf("is for other packages (%s) than the project's (%s)", strings.Join(l.Wanted, " "), strings.Join(pp.Packages, " ")))
	case l.Base != pp.Base:
		return again(fmt.Sprintf("is for the base %s, but the project's is %s", l.Base, pp.Base))
	case l.Digest != from.Digest.String():
		return again(fmt.Sprintf("is for another state of the base %s (%s; now it is %s)", l.Base, l.Digest, from.Digest))
	}
	return nil
}

// packages returns the files of the locked packages. The packages are fetched and
// unpacked only if the files aren't known from an earlier run.
func (a *assembly) packages(ctx context.Context, pp PlatformPlan, from *base.Base) ([]rootfs.Entry, error) {
	if len(pp.Packages) == 0 {
		return nil, nil
	}
	if from == nil {
		return nil, distro.ErrNone
	}
	if err := pp.checkLock(from); err != nil {
		return nil, err
	}
	key, err := json.Marshal([]any{packagesFormat, pp.Lock.Digest, pp.Lock.Packages, pp.Packages, pp.IgnoreScripts, pp.Platform})
	if err != nil {
		return nil, err
	}
	found, err := a.unpacked.Do(ctx, string(key), func() (any, error) {
		set := &packageSet{unpack: func() (*packages.Contents, error) { return a.unpack(ctx, pp, from) }}
		if a.w.store.Load("packages", string(key), &set.known) {
			return set.entries(), nil
		}
		c, err := set.contents()
		if err != nil {
			return nil, err
		}
		set.known.Entries, set.known.Data = c.Entries(), map[string][]byte{}
		for _, e := range set.known.Entries {
			if slices.Contains([]string{"/etc/passwd", "/etc/group", "/etc/shadow"}, e.Path) {
				if set.known.Data[e.Path], err = io.ReadAll(c.Open(e)); err != nil {
					return nil, err
				}
			}
		}
		a.w.store.Save("packages", string(key), set.known)
		return set.entries(), nil
	})
	if err != nil {
		return nil, err
	}
	return found.([]rootfs.Entry), nil
}

// unpack fetches and unpacks the locked packages.
func (a *assembly) unpack(ctx context.Context, pp PlatformPlan, from *base.Base) (*packages.Contents, error) {
	m, err := a.manager(ctx, from, pp.Platform.spec())
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", pp.Base, err)
	}
	c, err := packages.NewContents(a.w.scratch.Dir)
	if err != nil {
		return nil, err
	}
	var list []packages.Package
	for _, l := range pp.Lock.Packages {
		list = append(list, packages.Package(l))
	}
	if err := m.Install(ctx, a.packageClient(), list, pp.Packages, pp.IgnoreScripts, c); err != nil {
		err = errors.Join(err, c.Close())
		if gone, ok := errors.AsType[*packages.Gone](err); ok {
			return nil, fmt.Errorf("%w: distributions keep few versions of a package: run Builder.Lock for those that they have now (wanted was %s)", err, gone.URL)
		}
		return nil, err
	}
	a.closers.Store(c, nil)
	return c, nil
}

// close removes the temporary files of packages.
func (a *assembly) close() (err error) {
	a.closers.Range(func(c, _ any) bool {
		err = errors.Join(err, c.(*packages.Contents).Close())
		return true
	})
	return err
}

// packageSet is the files of a set of packages. It is known from an earlier run, or
// unpacked; at the latest when the bytes are needed.
type packageSet struct {
	known struct {
		Entries []packages.Entry  `json:"entries"`
		Data    map[string][]byte `json:"data"` // of account files
	}
	unpack func() (*packages.Contents, error)

	once sync.Once
	made *packages.Contents
	err  error
}

func (s *packageSet) contents() (*packages.Contents, error) {
	s.once.Do(func() { s.made, s.err = s.unpack() })
	return s.made, s.err
}

func (s *packageSet) entries() []rootfs.Entry {
	list := make([]rootfs.Entry, 0, len(s.known.Entries))
	for _, e := range s.known.Entries {
		to := rootfs.Entry{Path: e.Path, Type: e.Type, Mode: e.Mode, UID: e.UID, GID: e.GID, Link: e.Link, Xattrs: e.Xattrs, Size: e.Size, Data: s.known.Data[e.Path]}
		if e.Type == tar.TypeReg {
			to.Digest = v1.Hash{Algorithm: "sha256", Hex: e.SHA256}
			to.Open = func() (io.ReadCloser, error) {
				c, err := s.contents()
				if err != nil {
					return nil, err
				}
				made, ok := c.Get(e.Path)
				if !ok {
					return nil, fmt.Errorf("%s: is not in the packages", e.Path)
				}
				return io.NopCloser(c.Open(*made)), nil
			}
		}
		list = append(list, to)
	}
	return list
}
