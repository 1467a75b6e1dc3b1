// Package rootfs makes the layers of an image: the users, certificate roots and
// time zones that its programs need, the project's files, and its binaries, put
// over the file tree that its base leaves.
//
// Its files, each knowing those before it: change, what a layer sets at one path;
// filesystem, the changes of the layer at hand over what is below; packages, what
// those of a distribution bring; passwd and user, accounts; ignore and files, what of the project is copied; compress and
// layer, from changes to a layer in the cache; runtime, what a static program
// needs of a system; rootfs, all of them in their order.
package rootfs

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// Builder makes layers. One serves a whole run, from any number of
// goroutines; it needs its Cache and nothing else.
type Builder struct {
	// Cache keeps layers.
	Cache store.Cache

	layers   store.Flights // by key
	contents sync.Map      // host path to content
	zips     sync.Map      // host path to func() ([]change, error)

	once sync.Once
	gz   *compressor
}

func (b *Builder) compressor() *compressor {
	b.once.Do(func() { b.gz = newCompressor() })
	return b.gz
}

// Spec is what the root file system of one image for one platform is made of.
type Spec struct {
	// Base is what the base leaves. Nil: scratch.
	Base *filetree.Tree
	// BaseUser is the User of the base's config.
	BaseUser string
	// Packages are what packages of the base's distribution bring; they get a
	// layer of their own, below all others.
	Packages []Entry
	// Binaries get a layer each, over that of the Files.
	Binaries []Executable
	Files    []File
	User     User
	// WorkDir and Volumes are folders that are made, as the User's, if they
	// aren't there. An empty WorkDir is none.
	WorkDir string
	Volumes []string
	// CACerts and TZData add certificate roots and time zones that the base
	// doesn't have; the zones are from ZoneInfo, the path of Go's
	// zoneinfo.zip on this machine.
	CACerts, TZData bool
	ZoneInfo        string
}

// Executable is a program to put into an image.
type Executable struct {
	Path   string  // in the image, absolute and clean
	Source string  // the file on this machine
	Digest v1.Hash // sha256 of its content
	Size   int64   // in bytes
	// Identity is that of Source when Digest was taken. Zero, or no longer
	// true: the content is hashed again while it is compressed.
	Identity disk.Identity
}

// Rootfs is what a Builder made of a Spec.
type Rootfs struct {
	// Layers come on top of the base's, in this order.
	Layers []Layer
	// User is the User of the image's config, by numbers where that can be.
	User string
}

// Layer is one layer, and what it holds, for the image's history.
type Layer struct {
	v1.Layer
	Holds string
}

// part is a layer to be, with what the history says of it.
type part struct {
	what    string
	changes []change
}

// Build makes the layers of s: one with packages, one with runtime files and one with Files, where
// there are any, and one per binary. All are in the cache when Build returns.
// ctx bounds the making; one layer that several images share is made under the
// ctx of the first. A file that changes meanwhile is a *Changed.
func (b *Builder) Build(ctx context.Context, s Spec) (*Rootfs, error) {
	fs := newFileSystem(s.Base)
	var parts []part
	take := func(what string) {
		if changes := fs.take(); len(changes) > 0 {
			parts = append(parts, part{what, changes})
		}
	}
	if err := addPackages(fs, s.Packages); err != nil {
		return nil, err
	}
	take("packages")
	user, err := addUser(fs, s.User, s.BaseUser, s.Base == nil)
	if err != nil {
		return nil, err
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
	if user.config != s.BaseUser && (fs.has(passwdPath) || fs.has(groupPath)) {
		// Accounts of the user's own: what engines would find there isn't known.
		user.config = user.numbers()
	}
	made := &Rootfs{Layers: make([]Layer, len(parts)), User: user.config}
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		g.Go(func() error {
			l, err := b.layer(gctx, p.changes)
			if err != nil {
				return fmt.Errorf("%s: %w", p.what, err)
			}
			made.Layers[i] = Layer{l, p.what}
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
	return to.put(change{
		Path: e.Path, Type: tar.TypeReg, Mode: 0o755, Size: e.Size, Digest: e.Digest, Source: e.Source, Identity: e.Identity,
		Open: func() (io.ReadCloser, error) { return os.Open(e.Source) },
	}, "binary "+e.Path)
}
