package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/layout"
)

// ArchiveResult is an image in an archive.
type ArchiveResult struct {
	Name string
	Path string   // of the archive, absolute
	Refs []string // the full names in it
}

// Archive runs Images, and writes each image with all its platforms as an OCI
// archive, OUTPUT/archive/NAME.tar. In it the index, and images that have tags of their
// own, go by each name that Manifest would push, in full; without registries by
// docker.io/library/NAME:TAG, which is how Docker and containerd read NAME:TAG.
func (b *Builder) Archive(ctx context.Context) ([]ArchiveResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.plan.hasImages(), b.plan.hasSources()); err != nil {
		return nil, err
	}
	return within(ctx, b, func(ctx context.Context, w *workspace) ([]ArchiveResult, error) {
		all, err := w.images(ctx)
		if err != nil {
			return nil, err
		}
		results := make([]ArchiveResult, len(all))
		for i := range all { // one after the other, as they wait for the disk
			if results[i], err = w.archive(ctx, &all[i]); err != nil {
				return nil, fmt.Errorf("archive: image %s: %w", all[i].Name, err)
			}
		}
		return results, nil
	})
}

// archive writes the file of one image.
func (w *workspace) archive(ctx context.Context, b *built) (r ArchiveResult, err error) {
	step := w.begin(StepArchive, b.Name, "")
	defer func() { step.Failed(err) }()
	names, err := b.plan.names()
	if err != nil {
		return r, err
	}
	r = ArchiveResult{Name: b.Name, Path: filepath.Join(w.plan.Output, "archive", filepath.FromSlash(b.Name)+".tar")}
	own := w.layoutOptions(b.Name, b.Tags, b.Platforms).Images
	o := layout.Options{Images: map[string]v1.Hash{}}
	for _, n := range names {
		full := fullName(n)
		r.Refs = append(r.Refs, full)
		if digest, ok := own[n.TagStr()]; ok {
			o.Images[full] = digest
		} else {
			o.Tags = append(o.Tags, full)
		}
	}
	if err := w.folder(filepath.Dir(r.Path)); err != nil {
		return r, err
	}
	write := func() error {
		return disk.Write(r.Path, w.scratch.Dir, 0o644, func(to io.Writer) error { return layout.WriteArchive(ctx, to, b.index, o) })
	}
	if err = write(); errors.Is(err, disk.ErrContent) {
		err = write() // the cache has dropped what was corrupt
	}
	if err == nil {
		step.Done(r.Path)
	}
	return r, err
}

// fullName is the name under which Docker and containerd keep an image.
func fullName(t name.Tag) string {
	host := t.RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	return host + "/" + t.RepositoryStr() + ":" + t.TagStr()
}
