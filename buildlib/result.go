package buildlib

import (
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// BinaryResult is a built binary.
type BinaryResult struct {
	Name      string
	Platform  Platform
	Path      string  // below Output's bin, absolute
	Digest    v1.Hash // sha256 of the content
	Size      int64   // bytes
	Unchanged bool    // whether it is the same, byte for byte, as after the last run
}

// ImageResult is a built image, and after Manifest or Merge a published one. As JSON,
// in a list, it is images.json.
type ImageResult struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	Revision string  `json:"revision"` // empty without git
	Digest   v1.Hash `json:"digest"`   // of the index
	// Tags are the tags of the index, in the layout and in each repository, without
	// those that aren't published from a checkout with uncommitted changes.
	Tags []string `json:"tags"`
	// Refs are where Manifest or Merge published it: the index, or the platforms' images
	// if only these have tags. None without registries.
	Refs      []Ref            `json:"refs"`
	Platforms []PlatformResult `json:"platforms"`

	// Layout is the folder of its OCI layout, absolute. Merge writes none.
	Layout string `json:"-"`
	// Published is the outcome for each repository that it was to be published to.
	Published []Publication `json:"-"`
}

// allTags are the tags of the index and of the platforms' images.
func (r *ImageResult) allTags() []string {
	all := slices.Clone(r.Tags)
	for _, p := range r.Platforms {
		all = append(all, p.Tags...)
	}
	return all
}

// Publication is the outcome of publishing an image's tags to one repository. Each
// tag is in exactly one of the lists.
type Publication struct {
	Repository string
	Written    []string // now point to the index, and were read back
	Current    []string // already pointed to it
	Failed     []string // don't point to it, as far as is known
	Err        error    // why; nil: none failed
	// NotAttached names the evidence that the repository refused.
	NotAttached []string
}

// Ref is an image in a repository.
type Ref struct {
	Repository string  `json:"repository"`
	Digest     v1.Hash `json:"digest"`
}

// String is the reference that pulls exactly this image: REPOSITORY@DIGEST.
func (r Ref) String() string { return r.Repository + "@" + r.Digest.String() }

// PlatformResult is an image for one platform.
type PlatformResult struct {
	Platform Platform `json:"platform"`
	Digest   v1.Hash  `json:"digest"` // of the manifest
	Size     int64    `json:"size"`   // bytes to pull: manifest, config and layers
	// Tags are those that point to this manifest instead of the index.
	Tags []string `json:"tags,omitempty"`

	Elapsed time.Duration `json:"-"` // for assembling it; binaries of all images are compiled together
}

// LoadResult is an image that was loaded into an engine.
type LoadResult struct {
	Name     string
	Engine   string   // docker, podman, or as Options.Engine names it
	Platform Platform // the engine's, or the only one in Overrides
	Refs     []string // the names to run it by
	Run      string   // the command that runs it; empty for a cluster
	Note     string   // explains names that differ from those asked for; mostly empty
}
