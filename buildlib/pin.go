package buildlib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/pin"
)

// Pinned is an image reference that Pin found in a file.
type Pinned struct {
	Line     int    // of the file, from 1
	From, To string // equal if it was pinned already
}

// Pin writes the digests in OUTPUT/images.json into a YAML file, relative to the
// current folder: image: REFERENCE becomes REPOSITORY:TAG@DIGEST, and beside
// repository:, tag: and digest: are set where they exist. A tag that was published
// stays; any other becomes the image's first. Everything else stays as it is, byte for
// byte.
//
// An image that was not published, though others of its registry were, and one that
// is written in another way are errors that name the line; then the file stays as it
// is. Images of other registries are left alone.
func (b *Builder) Pin(_ context.Context, file string) ([]Pinned, error) {
	images, err := b.plan.publishedImages()
	if err != nil {
		return nil, err
	}
	at, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pin: %s: no such file in %s", file, workdir())
	} else if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > 16<<20 {
		return nil, fmt.Errorf("pin: %s: not a file of at most 16 megabytes: name a YAML file", file)
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("pin: %s: is not UTF-8 text: save it as such", file)
	}
	pinned, changes, err := pin.Rewrite(file, string(text), images)
	if err != nil {
		return nil, err
	}
	if pinned != string(text) {
		if err := disk.WriteBytes(at, filepath.Dir(at), info.Mode().Perm(), []byte(pinned)); err != nil {
			return nil, fmt.Errorf("pin: %w", err)
		}
	}
	list := make([]Pinned, len(changes))
	for i, c := range changes {
		list[i] = Pinned(c)
	}
	return list, nil
}

// publishedImages are the images in images.json, once for each repository.
func (p *Plan) publishedImages() ([]pin.Image, error) {
	at := filepath.Join(p.Output, "images.json")
	data, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pin: %s is not there, which says what was published: run Builder.Manifest", at)
	} else if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	var all []ImageResult
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("pin: %s: %w: run Builder.Manifest again", at, err)
	}
	var list []pin.Image
	for _, r := range all {
		seen := map[string]bool{}
		for _, ref := range r.Refs {
			if seen[ref.Repository] { // of another platform's image
				continue
			}
			seen[ref.Repository] = true
			img := pin.Image{Name: r.Name, Repository: ref.Repository, Digest: ref.Digest.String(), Digests: map[string]string{}}
			if tags := r.allTags(); len(tags) > 0 {
				img.Tag = tags[0]
			}
			for _, tag := range r.Tags {
				img.Digests[tag] = r.Digest.String()
			}
			for _, pr := range r.Platforms {
				for _, tag := range pr.Tags {
					img.Digests[tag] = pr.Digest.String()
				}
			}
			list = append(list, img)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("pin: %s has no image of a registry: set Registries or Overrides.Registries, and run Builder.Manifest", at)
	}
	return list, nil
}
