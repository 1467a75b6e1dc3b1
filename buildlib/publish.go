package buildlib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/registry"
)

// Manifest runs Images and publishes: to each of an image's repositories it pushes
// the platforms' images by digest, the index, and then the tags, which it reads back
// and compares. Without registries there is nothing to push: the layout has the tags
// already. OUTPUT/images.json lists what was published.
//
// A repository that fails doesn't stop the others. The results are then returned
// along with the error, their Published says what happened to every tag, and
// images.json stays as it was. Calling Manifest of a new Builder publishes what is
// missing.
func (b *Builder) Manifest(ctx context.Context) ([]ImageResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.published.do(func() ([]ImageResult, error) {
		if err := errors.Join(b.plan.publishable(), b.plan.hasTags(b.plan.Dirty), b.plan.hasSources()); err != nil {
			return nil, err
		}
		signer, err := b.plan.signer()
		if err != nil {
			return nil, err
		}
		return within(ctx, b, func(ctx context.Context, w *workspace) ([]ImageResult, error) {
			all, err := w.images(ctx)
			if err != nil {
				return nil, err
			}
			if err := w.sign(all, signer); err != nil {
				return nil, err
			}
			if err := w.smokeLocal(ctx, all); err != nil {
				return nil, err
			}
			list, err := w.publish(ctx, all, w.plan.Dirty, func(ctx context.Context, at name.Repository, b *built, sent func(registry.Event)) (registry.Published, error) {
				attached, err := attachments(b.statements)
				if err != nil {
					return registry.Published{}, err
				}
				test := func(ctx context.Context) error {
					_, err := w.smoke(ctx, b)
					return err
				}
				done, err := w.client.Publish(ctx, at, b.index, b.Tags, registry.Hooks{Ready: w.unchanged, Test: test, Progress: sent, Pushed: w.keyless(at, b, signer), Attach: attached})
				if err == nil {
					err = w.tagPlatforms(ctx, at, b, &done, registry.Hooks{Ready: w.unchanged, Test: test})
				}
				return done, err
			})
			if w.store.Dropped() > 0 {
				// Layouts link to blobs of the cache that were corrupt.
				err = errors.Join(err, w.writeLayouts(ctx, all))
			}
			return list, err
		})
	})
}

// publishable is an error if there is nothing to publish, or no version to name it by.
func (p *Plan) publishable() error {
	if p.Unversioned && p.publishes() {
		return errors.New("version: git found no commit to name what is published, and \"dev\" is pushed nowhere: set Overrides.Version or the Project's Version")
	}
	return p.hasImages()
}

// publishes reports whether an image goes to a registry.
func (p *Plan) publishes() bool {
	return slices.ContainsFunc(p.ImagePlans, func(ip ImagePlan) bool { return len(ip.Repositories) > 0 })
}

// publisher publishes an image to one of its repositories.
type publisher func(ctx context.Context, at name.Repository, b *built, sent func(registry.Event)) (registry.Published, error)

// publish publishes the images to all their repositories and, if that worked, writes
// OUTPUT/images.json. dirty is whether the checkout had changes.
func (w *workspace) publish(ctx context.Context, all []built, dirty bool, by publisher) ([]ImageResult, error) {
	all = slices.Clone(all) // the layouts keep all tags
	w.withhold(all, dirty)
	var wait sync.WaitGroup
	for i := range all {
		b := &all[i]
		b.Published = make([]Publication, len(b.plan.Repositories))
		for j, repo := range b.plan.Repositories {
			wait.Go(func() { b.Published[j] = w.publishOne(ctx, b, repo, by) })
		}
	}
	wait.Wait()
	var failed []error
	for i := range all {
		b := &all[i]
		for _, done := range b.Published {
			if done.Err != nil {
				failed = append(failed, done.Err)
				continue
			}
			b.Refs = append(b.Refs, b.refs(done.Repository)...)
		}
	}
	list := results(all)
	if len(failed) > 0 {
		return list, errors.Join(failed...)
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, err
	}
	at := filepath.Join(w.plan.Output, "images.json")
	if err := disk.WriteBytes(at, w.scratch.Dir, 0o644, append(data, '\n')); err != nil {
		return list, err
	}
	return list, w.render(list)
}

// render writes the files of Project.Render.
func (w *workspace) render(list []ImageResult) error {
	files, skipped, err := w.plan.renderAll(list)
	if err != nil {
		return fmt.Errorf("published, but not rendered: %w", err)
	}
	for _, why := range skipped {
		w.tell(StepWarn, why)
	}
	for _, f := range files {
		rel, err := filepath.Rel(w.plan.Output, f.path)
		if err == nil {
			_, err = disk.MakeFolder(w.plan.Output, filepath.Dir(rel))
		}
		if err == nil {
			err = disk.WriteBytes(f.path, w.scratch.Dir, 0o644, []byte(f.text))
		}
		if err != nil {
			return fmt.Errorf("published, but not rendered: %w", err)
		}
		w.log("rendered %s", f.path)
	}
	return nil
}

func (w *workspace) publishOne(ctx context.Context, b *built, repo string, by publisher) Publication {
	result := Publication{Repository: repo, Failed: b.allTags()}
	at, err := w.client.Repository(repo)
	if err != nil {
		result.Err = fmt.Errorf("image %s: %w", b.Name, err)
		return result
	}
	step := w.begin(StepPush, repo, "")
	done, err := by(ctx, at, b, func(e registry.Event) { step.bytes(e.Sent, e.Total) })
	for _, t := range done.Tags {
		if !t.Current {
			continue
		}
		result.Failed = slices.DeleteFunc(result.Failed, func(tag string) bool { return tag == t.Tag })
		if t.Pushed {
			result.Written = append(result.Written, t.Tag)
		} else {
			result.Current = append(result.Current, t.Tag)
		}
	}
	if len(result.Failed) == 0 {
		result.Failed = nil
	}
	if result.NotAttached = done.NotAttached; len(done.NotAttached) > 0 {
		w.tell(StepWarn, fmt.Sprintf("%s takes no artifacts, so nothing says there what the image is made of, and how: not attached: %s (in %s)",
			repo, strings.Join(done.NotAttached, ", "), w.plan.evidenceDir(b.Name)))
	}
	if err != nil {
		step.Failed(w.client.Clean(err))
		result.Err = w.client.Clean(fmt.Errorf("image %s: %w", b.Name, err))
		return result
	}
	step.Done(describe(done))
	return result
}

// tagPlatforms writes the tags of single platforms' images, which the repository
// already has.
func (w *workspace) tagPlatforms(ctx context.Context, at name.Repository, b *built, done *registry.Published, h registry.Hooks) error {
	var failed []error
	for _, p := range b.Platforms {
		if len(p.Tags) == 0 {
			continue
		}
		more, err := w.client.TagImage(ctx, at, p.Digest, p.Tags, h)
		done.Tags = append(done.Tags, more.Tags...)
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// refs are what tags lead to in a repository: the index or, if it has no tags, the
// images of single platforms that have some.
func (r *ImageResult) refs(repo string) []Ref {
	var plain []Ref
	for _, p := range r.Platforms {
		if len(p.Tags) > 0 {
			plain = append(plain, Ref{repo, p.Digest})
		}
	}
	if len(r.Tags) > 0 || len(plain) == 0 {
		return []Ref{{repo, r.Digest}}
	}
	return plain
}

// describe summarizes a publication.
func describe(done registry.Published) string {
	var pushed []string
	for _, t := range done.Tags {
		if t.Pushed {
			pushed = append(pushed, t.Tag)
		}
	}
	if len(done.Tags) > 0 && len(pushed) == 0 {
		return "up to date"
	}
	tags := strings.Join(pushed, ", ")
	switch {
	case done.Children == 0: // all images were there
		return tags
	case done.Uploaded == 0:
		return tags + ": no blob was missing"
	}
	return tags + ": " + blobs(done)
}

// blobs summarizes what was uploaded.
func blobs(done registry.Published) string {
	noun := "blobs"
	if done.Uploaded == 1 {
		noun = "blob"
	}
	return fmt.Sprintf("%d %s, %.1f MB", done.Uploaded, noun, float64(done.Bytes)/1e6)
}

// withhold removes the tags that registries don't get from the images.
func (w *workspace) withhold(all []built, dirty bool) {
	for i := range all {
		b := &all[i]
		if len(b.plan.Repositories) == 0 {
			continue
		}
		var withheld []string
		b.Tags, withheld = w.plan.forRegistries(b.Tags, dirty)
		b.Platforms = slices.Clone(b.Platforms)
		for j := range b.Platforms {
			var more []string
			b.Platforms[j].Tags, more = w.plan.forRegistries(b.Platforms[j].Tags, dirty)
			withheld = append(withheld, more...)
		}
		if len(withheld) > 0 {
			w.tell(StepWarn, fmt.Sprintf("image %s: tags not moved: %s, because the checkout has uncommitted changes: commit them, or set Overrides.AllowDirty",
				b.Name, strings.Join(withheld, ", ")))
		}
	}
}
