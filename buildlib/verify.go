package buildlib

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/git"
)

// Results of a Verification.
const (
	Same    = "same"
	Differs = "differs"
	Unknown = "unknown" // can't be decided here: another Go, or a base or commit is gone
)

// Verification is the comparison of a published index with one built from its source.
type Verification struct {
	Ref      string  `json:"ref"` // by digest
	Image    string  `json:"image,omitempty"`
	Revision string  `json:"revision,omitempty"`
	Version  string  `json:"version,omitempty"`
	Digest   v1.Hash `json:"digest"`
	Result   string  `json:"result"`
	// Difference is the first one, or why the result is Unknown. Nil if Same.
	Difference *evidence.Difference `json:"difference,omitempty"`
	// Checked lists the attached documents that were checked.
	Checked []string `json:"checked,omitempty"`
	File    string   `json:"-"` // the JSON, absolute; empty: none was written
}

// Status is an exit status: 0 if the two are the same, 1 if they differ, 3 if that is
// unknown.
func (v *Verification) Status() int { return map[string]int{Same: 0, Differs: 1, Unknown: 3}[v.Result] }

// settle sets the result by the first difference; nil: there is none.
func (v *Verification) settle(d *evidence.Difference) {
	v.Result, v.Difference = Differs, d
	if d == nil {
		v.Result = Same
	} else if d.Class == evidence.Environment {
		v.Result = Unknown
	}
}

func (v *Verification) unknown(format string, args ...any) {
	v.settle(&evidence.Difference{Class: evidence.Environment, Path: []string{"index"}, Detail: fmt.Sprintf(format, args...)})
}

// Verify rebuilds the index that ref names from the commit in its metadata, with
// empty caches and with bases by digest, and finds the first difference. It uses this
// Project, whatever the commit's was. If Sign names a key, private or public, the
// index must be signed with it. The result is kept in OUTPUT/evidence/NAME/verify.json.
// After an error it is unknown whether the two are the same.
func (p Project) Verify(ctx context.Context, ref string, o Overrides, opts Options) (*Verification, error) {
	plan, err := p.Plan(ctx, o)
	if err != nil {
		return nil, err
	}
	key, err := plan.key()
	if err != nil {
		return nil, err
	}
	b, err := Open(ctx, plan, opts)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return within(ctx, b, func(ctx context.Context, w *workspace) (*Verification, error) {
		at, err := w.client.Reference(ref)
		if err != nil {
			return nil, fmt.Errorf("%q is not an image reference: %w", ref, err)
		}
		digest, _, err := w.client.Manifest(ctx, at)
		if err != nil {
			return nil, err
		}
		r := &rebuild{w: w, at: at.Context().Digest(digest.String()), key: key}
		r.Ref, r.Digest = at.Context().Name()+"@"+digest.String(), digest
		if err := r.verify(ctx, p, o, opts); err != nil {
			return nil, err
		}
		data, err := json.MarshalIndent(&r.Verification, "", "  ")
		if err != nil {
			return nil, err
		}
		dir := plan.evidenceDir(r.Image)
		r.File = filepath.Join(dir, "verify.json")
		return &r.Verification, errors.Join(w.folder(dir), disk.WriteBytes(r.File, w.scratch.Dir, 0o644, append(data, '\n')))
	})
}

// rebuild is a running verification.
type rebuild struct {
	Verification
	w         *workspace // of this checkout, for its plan and client
	at        name.Digest
	key       *evidence.Key
	published v1.ImageIndex
}

// emptyCache is the folder for the build cache. Tests share one.
var emptyCache = func(temp string) string { return filepath.Join(temp, "gocache") }

var fullRevision = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

func (r *rebuild) verify(ctx context.Context, p Project, o Overrides, opts Options) error {
	var err error
	if r.published, err = remote.Index(r.at, append(r.w.client.Remote(), remote.WithContext(ctx))...); err != nil {
		return fmt.Errorf("%s: its index can't be read: %w", r.Ref, err)
	}
	m, err := r.published.IndexManifest()
	if err != nil {
		return err
	}
	r.Revision, r.Version = m.Annotations[ociKeys+"revision"], m.Annotations[ociKeys+"version"]
	plan := r.w.plan
	if r.Image = plan.imageOf(r.at.Context().Name(), m.Annotations[ociKeys+"title"]); r.Image == "" {
		return fmt.Errorf("%s: the project has no image that goes to this repository, or is called %q", r.Ref, m.Annotations[ociKeys+"title"])
	}
	if d, err := r.attached(ctx); err != nil || d != nil {
		r.settle(d)
		return err
	}
	switch {
	case !fullRevision.MatchString(r.Revision):
		r.unknown("it names no commit (annotation %srevision): it was made without git, or by something else", ociKeys)
		return nil
	case strings.HasSuffix(r.Version, "-dirty"):
		r.unknown("version %s was made of uncommitted changes, which nobody has", r.Version)
		return nil
	case plan.Checkout.Folder == "":
		r.unknown("there is no git repository here: run it in a clone of the source")
		return nil
	}
	created, err := time.Parse(time.RFC3339, m.Annotations[ociKeys+"created"])
	if err != nil {
		r.unknown("annotation %screated: %v", ociKeys, err)
		return nil
	}
	temp, err := os.MkdirTemp("", "multimage-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	tree := filepath.Join(temp, "source")
	remove, err := git.Worktree(ctx, plan.Checkout.Folder, r.Revision, tree)
	if err != nil {
		r.unknown("%v", err)
		return nil
	}
	defer remove() // git prunes what can't be removed
	inside, err := filepath.Rel(resolved(plan.Checkout.Folder), resolved(plan.Dir))
	if err != nil {
		return err
	}
	p.Dir, p.BuildCache, p.Evidence, p.Sign = filepath.Join(tree, inside), "", []string{}, ""
	o.Version, o.Epoch, o.Images, o.Output, o.Cache = r.Version, created, []string{r.Image}, filepath.Join(temp, "dist"), filepath.Join(temp, "cache")
	o.BuildCache, o.Evidence, o.Sign = "", nil, ""
	again, err := p.Plan(ctx, o)
	if err != nil {
		r.settle(&evidence.Difference{Class: evidence.Configuration, Path: []string{"index"}, Detail: "the project here can't be built from that commit: " + err.Error()})
		return nil
	}
	if err := again.hasSources(); err != nil {
		r.unknown("a step of the project makes files first, which isn't run here: %v", err)
		return nil
	}
	for i := range again.Compiles {
		again.Compiles[i].Env = append(again.Compiles[i].Env, "GOCACHE="+emptyCache(temp))
	}
	opts.Cache = o.Cache
	b, err := Open(ctx, again, opts)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.pins, err = r.pins(again, m); err != nil {
		return fmt.Errorf("%s: %w", r.Ref, err)
	}
	return r.compare(ctx, b)
}

// imageOf is the name of the image that goes to a repository and has the title. Of
// several in one repository the title decides; an image of either is enough, as an
// index may have been copied or its title changed. Empty: there is none.
func (p *Plan) imageOf(repository, title string) string {
	var best string
	most := 0
	for _, ip := range p.ImagePlans {
		score := 0
		if slices.Contains(ip.Repositories, repository) {
			score += 2
		}
		if title == ip.Name || title != "" && title == ip.Annotations[ociKeys+"title"] {
			score++
		}
		if score > most {
			best, most = ip.Name, score
		}
	}
	return best
}

// pins are the bases that the index was built on. If all its images share a base, the
// index names it; otherwise each image names its own.
func (r *rebuild) pins(p *Plan, m *v1.IndexManifest) (map[Platform]pinnedBase, error) {
	pins := map[Platform]pinnedBase{}
	for _, pp := range p.ImagePlans[0].Platforms {
		i := slices.IndexFunc(m.Manifests, func(d v1.Descriptor) bool {
			return d.Platform != nil && pp.Platform == Platform{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}
		})
		if i < 0 || pp.Base == scratch {
			continue
		}
		annotations := m.Annotations
		if annotations[ociKeys+"base.digest"] == "" {
			img, err := r.published.Image(m.Manifests[i].Digest)
			if err != nil {
				return nil, err
			}
			own, err := img.Manifest()
			if err != nil {
				return nil, err
			}
			annotations = own.Annotations
		}
		pin := pinnedBase{ref: pp.Base}
		if strings.HasPrefix(pp.Base, fromDockerfile) {
			if pin.ref = annotations[ociKeys+"base.name"]; pin.ref == "" {
				continue // it is built again
			}
		}
		var err error
		if pin.digest, err = v1.NewHash(annotations[ociKeys+"base.digest"]); err == nil {
			pins[pp.Platform] = pin
		}
	}
	return pins, nil
}

func (r *rebuild) compare(ctx context.Context, b *Builder) error {
	d, err := within(ctx, b, func(ctx context.Context, w *workspace) (*evidence.Difference, error) {
		all, err := w.images(ctx)
		if err != nil {
			return &evidence.Difference{Class: evidence.Environment, Path: []string{"index"}, Detail: "it can't be built here: " + err.Error()}, nil
		}
		d, err := evidence.Compare(ctx, all[0].index, r.published)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Ref, err)
		}
		return d, nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.settle(d)
	return err
}

// attached checks the documents that refer to the index: that they are about it, that
// the key signed them, and that the Go in them is the one here.
func (r *rebuild) attached(ctx context.Context) (*evidence.Difference, error) {
	list, err := r.w.client.Referrers(ctx, r.at, "")
	if err != nil {
		return nil, err
	}
	wrong := func(d v1.Descriptor, err error) *evidence.Difference {
		return &evidence.Difference{Class: evidence.Attached, Path: []string{"index", "referrer " + d.Digest.String()}, Detail: err.Error()}
	}
	signed := false
	var refused *evidence.Difference
	for _, d := range list {
		data, media, err := r.w.content(ctx, r.at.Context(), d)
		if err != nil {
			return nil, err
		}
		switch media {
		case string(evidence.BundleType):
			st, err := evidence.Open(data, r.Digest, r.key)
			if err != nil {
				refused = wrong(d, err)
				continue
			}
			if r.key != nil && st.PredicateType == evidence.SignatureType {
				signed = true
				r.Checked = append(r.Checked, "signature by the key")
			}
		case "application/vnd.in-toto+json":
			st, err := evidence.ReadStatement(data, r.Digest)
			if err != nil {
				return wrong(d, err), nil
			}
			if st.PredicateType != evidence.ProvenanceType {
				continue
			}
			r.Checked = append(r.Checked, "provenance")
			if at := r.w.plan.goDiffers(st.Predicate); at != "" {
				return &evidence.Difference{Class: evidence.Environment, Path: []string{"index", "provenance"}, Detail: at}, nil
			}
		}
	}
	switch {
	case r.key != nil && !signed && refused != nil:
		return refused, nil
	case r.key != nil && !signed:
		return &evidence.Difference{Class: evidence.Attached, Path: []string{"index"}, Detail: "it has no signature by the key"}, nil
	case r.key == nil && refused != nil: // whoever signed it, it is about something else
		return refused, nil
	}
	return nil, nil
}

// goDiffers says how the Go of a provenance differs from the one here; empty: it
// doesn't, or isn't known.
func (p *Plan) goDiffers(provenance []byte) string {
	var predicate struct {
		Definition struct {
			External struct {
				Platforms []struct {
					Parameters struct {
						Go parametersGo `json:"go"`
					} `json:"parameters"`
				} `json:"platforms"`
			} `json:"externalParameters"`
		} `json:"buildDefinition"`
	}
	if json.Unmarshal(provenance, &predicate) != nil || len(predicate.Definition.External.Platforms) == 0 {
		return ""
	}
	there := predicate.Definition.External.Platforms[0].Parameters.Go
	switch here := p.parametersGo(); {
	case there.Version != "" && here.Version != there.Version:
		return fmt.Sprintf("Go %s here, %s there: run it with GOTOOLCHAIN=%s", here.Version, there.Version, there.Version)
	case there.Version != "" && here != there:
		return fmt.Sprintf("GOFLAGS %q, GOEXPERIMENT %q and GOFIPS140 %q here, %q, %q and %q there", here.Flags, here.Experiment, here.FIPS140, there.Flags, there.Experiment, there.FIPS140)
	}
	return ""
}
