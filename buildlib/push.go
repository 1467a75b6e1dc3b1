package buildlib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/registry"
)

// Push is one machine's share of Manifest: it runs Images for the plan's
// platforms (Overrides limit them) and pushes each platform's image to each of
// its repositories by digest, without a tag or an index. Once all its repositories
// have an image, and its Smoke has passed, Push writes a record of it into
// OUTPUT/digests. Builder.Merge makes the index from the records of all machines.
//
// Push first removes earlier records of the images to be pushed, and all records of
// another version or commit, so that OUTPUT/digests holds records of one commit only
// and none of an image that failed. A repository that fails doesn't stop the others,
// but its image gets no record. The records that were written are returned along
// with the error.
func (b *Builder) Push(ctx context.Context) ([]Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.pushed.do(func() ([]Record, error) {
		if err := errors.Join(b.plan.mergeable(), b.plan.hasTags(false), b.plan.hasSources()); err != nil {
			return nil, err
		}
		signer, err := b.plan.signer()
		if err != nil {
			return nil, err
		}
		return within(ctx, b, func(ctx context.Context, w *workspace) ([]Record, error) {
			if err := w.removeStale(); err != nil {
				return nil, fmt.Errorf("records: %w", err)
			}
			all, err := w.images(ctx)
			if err != nil {
				return nil, err
			}
			if err := w.unchanged(ctx); err != nil {
				return nil, err
			}
			if err := w.sign(all, signer); err != nil {
				return nil, err
			}
			return w.push(ctx, all)
		})
	})
}

// mergeable is an error if there is nothing to push and merge.
func (p *Plan) mergeable() error {
	if err := p.publishable(); err != nil {
		return err
	}
	if !p.publishes() {
		return errors.New("registries: none is configured, and a build on several machines needs one in common: set Registries in the Project, or Overrides.Registries")
	}
	return nil
}

func (p *Plan) recordDir() string { return filepath.Join(p.Output, "digests") }

// push pushes the images and records them. It returns the records that were written,
// also with an error.
func (w *workspace) push(ctx context.Context, all []built) ([]Record, error) {
	records := make([][]Record, len(all))
	for i := range all {
		var err error
		if records[i], err = w.plan.records(&all[i]); err != nil {
			return nil, fmt.Errorf("image %s: %w", all[i].Name, err)
		}
	}
	written, failed := make([][]Record, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			if failed[i] = w.pushImage(ctx, &all[i]); failed[i] != nil {
				return
			}
			tested, err := w.smoke(ctx, &all[i])
			if err != nil {
				failed[i] = fmt.Errorf("image %s: %w", all[i].Name, err)
				return
			}
			recordSmoke(records[i], tested, all[i].plan)
			written[i], failed[i] = w.writeRecords(records[i])
		})
	}
	wait.Wait()
	return slices.Concat(written...), errors.Join(failed...)
}

// records makes the records of an image's platforms.
func (p *Plan) records(b *built) ([]Record, error) {
	list := make([]Record, len(b.images))
	index, err := b.index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for i, img := range b.images {
		config, err := img.ConfigName()
		if err != nil {
			return nil, err
		}
		var contents json.RawMessage
		if len(p.Evidence) > 0 {
			if contents, err = json.Marshal(b.contents[i]); err != nil {
				return nil, err
			}
		}
		list[i] = Record{
			Format: recordFormat,
			Image:  b.Name, Platform: b.Platforms[i].Platform,
			Digest: b.Platforms[i].Digest, ConfigDigest: config, Descriptor: index.Manifests[i],
			Size: b.Platforms[i].Size, Version: p.Version, Revision: p.Revision, Dirty: p.Dirty, Created: p.Epoch,
			Base: b.bases[i], Go: RecordGo{p.Go.Version, p.Go.settings(), b.plan.Build},
			Repositories: append([]string{}, b.plan.Repositories...), Contents: contents,
		}
	}
	return list, nil
}

// pushImage pushes an image to its repositories, and waits for all of them.
func (w *workspace) pushImage(ctx context.Context, b *built) error {
	failed := make([]error, len(b.plan.Repositories))
	var wait sync.WaitGroup
	for i, repo := range b.plan.Repositories {
		wait.Go(func() {
			at, err := w.client.Repository(repo)
			if err == nil {
				err = w.pushTo(ctx, at, repo, b)
			}
			if err != nil {
				failed[i] = fmt.Errorf("image %s: %w", b.Name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

func (w *workspace) pushTo(ctx context.Context, at name.Repository, repo string, b *built) error {
	attach, err := attachments(b.statements[min(1, len(b.statements)):])
	if err != nil {
		return err
	}
	step := w.begin(StepPush, repo, "")
	done, err := w.client.PushImages(ctx, at, b.index, registry.Hooks{Attach: attach, Progress: func(e registry.Event) { step.bytes(e.Sent, e.Total) }})
	if err != nil {
		step.Failed(w.client.Clean(err))
		return err
	}
	step.Done(describePush(done))
	return nil
}

func describePush(done registry.Published) string {
	what := "up to date"
	if done.Children > 0 {
		what = "by digest: no blob was missing"
	}
	if done.Uploaded > 0 {
		what = "by digest: " + blobs(done)
	}
	return what
}

// removeStale removes records from OUTPUT/digests: those of the plan's images, those
// of other versions, and damaged ones. Other files stay.
func (w *workspace) removeStale() error {
	planned := map[string]bool{} // by file
	for _, ip := range w.plan.ImagePlans {
		for _, pp := range ip.Platforms {
			planned[recordName(item{ip.Name, pp.Platform})] = true
		}
	}
	entries, err := os.ReadDir(w.plan.recordDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := filepath.Join(w.plan.recordDir(), e.Name())
		if !e.Type().IsRegular() || filepath.Ext(at) != ".json" {
			continue
		}
		if !planned[e.Name()] {
			data, err := readLimited(at, recordLimit)
			if err != nil {
				return err
			}
			if !isRecord(at, data) {
				continue
			}
			if r, err := decodeRecord(data); err == nil && w.plan.matches(&r) {
				continue
			}
		}
		if err := os.Remove(at); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether the record has the plan's version, commit and time.
func (p *Plan) matches(r *Record) bool {
	return r.Version == p.Version && r.Revision == p.Revision && r.Created.Equal(p.Epoch)
}

// writeRecords writes records, and returns those that it has written.
func (w *workspace) writeRecords(list []Record) ([]Record, error) {
	for i := range list {
		r := &list[i]
		data, err := r.encode()
		if err == nil {
			at := filepath.Join(w.plan.recordDir(), recordName(r.subject()))
			err = disk.WriteBytes(at, w.scratch.Dir, 0o644, data)
		}
		if err != nil {
			return list[:i], fmt.Errorf("record of image %s: %w", r.subject(), err)
		}
	}
	return list, nil
}
