// Package rootfs makes the layers of an image: the users, certificate roots and
// time zones that its programs need, the project's files, and its binaries, on top
// of the base's file tree.
//
// Its files, each knowing those before it: change, what a layer sets at one path;
// filesystem, the changes of the current layer over what is below; packages, the
// files of a distribution's packages; passwd and user, accounts; ignore and glob,
// which of the project's files are excluded, and which a pattern matches;
// format, compress, builder and layer, from changes to a layer in the cache; files,
// the project's files that are copied; spec, the parts of a root file system;
// windows, what is different there; runtime, what a static program needs from a
// system; rootfs, which puts everything together.
package rootfs

import (
	"archive/tar"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"
)

// part is the content of a layer, and its description in the history.
type part struct {
	holds   string
	changes []change
}

// Build makes the layers of s: one with packages, one with runtime files and one with
// Files, if there are any, and one per binary. All are in the cache when Build
// returns. A layer that several images share is made with the ctx of the first. A
// file that changes meanwhile is a *Changed.
func (b *Builder) Build(ctx context.Context, s Spec) (*Rootfs, error) {
	fs := newFileSystem(s.Base)
	var parts []part
	var invalid error // the first
	names := map[string]string{}
	take := func(holds string) {
		changes := fs.take()
		if len(changes) == 0 {
			return
		}
		if s.Windows {
			var err error
			if changes, err = forWindows(changes, names); err != nil {
				invalid = cmp.Or(invalid, fmt.Errorf("%s: %w", holds, err))
			}
		}
		parts = append(parts, part{holds, changes})
	}
	if err := addPackages(fs, s.Packages); err != nil {
		return nil, err
	}
	take("packages")
	user := windowsAccount(&s)
	if !s.Windows {
		var err error
		if user, err = addUser(fs, s.User, s.BaseUser, s.Base == nil); err != nil {
			return nil, err
		}
	}
	if err := b.addRuntime(fs, &s, user); err != nil {
		return nil, err
	}
	take("runtime files")
	if err := b.addFiles(ctx, fs, s.Files); err != nil {
		return nil, err
	}
	take("files")
	for _, e := range s.Binaries {
		if err := e.addTo(fs); err != nil {
			return nil, fmt.Errorf("binary %w", err)
		}
		take("binary " + e.Path)
	}
	if invalid != nil {
		return nil, invalid
	}
	if user.config != s.BaseUser && (fs.has(passwdPath) || fs.has(groupPath)) {
		// The project brings its own account files, which aren't read here.
		user.config = user.numbers()
	}
	made := &Rootfs{Layers: make([]Layer, len(parts)), User: user.config, Tree: fs.tree}
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		g.Go(func() error {
			l, err := b.layer(gctx, p.changes)
			if err != nil {
				return fmt.Errorf("%s: %w", p.holds, err)
			}
			made.Layers[i] = Layer{l, p.holds}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return made, nil
}

func (e Executable) addTo(to *fileSystem) error {
	if err := checkPath(e.Path); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	if e.Digest.Algorithm != "sha256" {
		return fmt.Errorf("%s: its digest %q is not a sha256", e.Path, e.Digest)
	}
	mode, err := tarMode(cmp.Or(e.Mode, 0o755))
	if err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	return to.put(change{
		Path: e.Path, Type: tar.TypeReg, Mode: mode, UID: e.UID, GID: e.GID, Xattrs: e.Xattrs,
		Size: e.Size, Digest: e.Digest, Source: e.Source, Identity: e.Identity,
		Open: func() (io.ReadCloser, error) { return os.Open(e.Source) },
	}, "binary "+e.Path)
}
