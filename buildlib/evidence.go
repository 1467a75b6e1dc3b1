package buildlib

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/evidence"
)

// statements are the evidence of b: first of the index, then of each platform's image.
func (p *Plan) statements(b *built) ([]statement, error) {
	if len(p.Evidence) == 0 && p.Sign == "" {
		return nil, nil
	}
	raw, err := b.index.RawManifest()
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	list := []statement{{name: "index", of: v1.Descriptor{MediaType: m.MediaType, Digest: b.Digest, Size: int64(len(raw))}}}
	list[0].subject.Images = b.contents
	for i, d := range m.Manifests {
		s := statement{name: b.Platforms[i].Platform.dashed(), of: d}
		s.subject.Images = b.contents[i : i+1]
		list = append(list, s)
	}
	for i := range list {
		s := &list[i]
		s.subject.Name, s.subject.Version, s.subject.Digest = b.Name, p.Version, s.of.Digest
		s.subject.Created, s.subject.Builder = p.Epoch, p.BuiltBy
		s.subject.Source, s.subject.Revision, s.subject.Dirty = b.plan.Annotations[ociKeys+"source"], p.Revision, p.Dirty
		for _, kind := range p.Evidence {
			d, err := evidence.NewDocument(kind, &s.subject)
			if err != nil {
				return nil, fmt.Errorf("evidence: %s: %w", kind, err)
			}
			s.documents = append(s.documents, d)
		}
	}
	return list, nil
}

// parametersGo is the toolchain in parameters.
type parametersGo struct {
	Version    string `json:"version"`
	Flags      string `json:"flags,omitempty"`
	Experiment string `json:"experiment,omitempty"`
	FIPS140    string `json:"fips140,omitempty"`
}

func (p *Plan) parametersGo() parametersGo {
	return parametersGo{p.Go.Version, p.portable(p.Go.Flags), p.Go.Experiment, p.Go.FIPS140}
}

// parameters, in provenance, are what decided how a platform's image was made. They
// don't name the project's folder on this machine.
func (p *Plan) parameters(pp PlatformPlan) (json.RawMessage, error) {
	type call struct {
		Args     []string `json:"args"`
		Env      []string `json:"env"`
		Packages []string `json:"packages"`
	}
	var all struct {
		Go     parametersGo `json:"go"`
		Builds []call       `json:"builds,omitempty"`
		Image  PlatformPlan `json:"image"`
	}
	all.Image, all.Go = pp, p.parametersGo()
	all.Image.Tags = nil // which have no part in how it was made
	all.Image.Base = p.portable(pp.Base)
	if pp.Lock != nil {
		lock := *pp.Lock
		lock.Base, all.Image.Lock = all.Image.Base, &lock
	}
	for _, c := range p.Compiles {
		used := func(m Main) bool {
			return slices.ContainsFunc(pp.Binaries, func(b PlacedBinary) bool { return b.Binary == m.Binary })
		}
		if c.Platform != pp.Platform || !slices.ContainsFunc(c.Mains, used) {
			continue
		}
		var made call
		for _, arg := range c.Args {
			made.Args = append(made.Args, p.portable(arg))
		}
		for _, variable := range c.Env {
			made.Env = append(made.Env, p.portable(variable))
		}
		for _, m := range c.Mains {
			if used(m) {
				made.Packages = append(made.Packages, m.Package)
			}
		}
		all.Builds = append(all.Builds, made)
	}
	return json.Marshal(all)
}

var (
	pathStart  = regexp.MustCompile(`(^|[\s=,:;"'])(//|-[A-Za-z]+)?$`) // before a path: file://PATH, -IPATH
	nameGoesOn = regexp.MustCompile(`^[\w.-]`)
)

// portable replaces the project's folder by a dot, where a path in an argument or a
// variable begins with it.
func (p *Plan) portable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		rest, ok := strings.CutPrefix(text[i:], p.Dir)
		if ok && pathStart.MatchString(text[:i]) && !nameGoesOn.MatchString(rest) {
			b.WriteByte('.')
			i += len(p.Dir)
		} else {
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String()
}

// contents lists what a platform's image is made of, for its evidence.
func (w *workspace) contents(ctx context.Context, pp PlatformPlan, img v1.Image, from *RecordBase, binaries []evidence.Executable) (evidence.Contents, error) {
	if len(w.plan.Evidence) == 0 {
		digest, err := img.Digest()
		return evidence.Contents{Platform: pp.Platform.String(), Digest: digest}, err
	}
	c, err := evidence.Collect(ctx, w.store, evidence.Source{Platform: pp.Platform.String(), Image: img, Base: (*evidence.Base)(from), Binaries: binaries})
	if err == nil {
		c.Parameters, err = w.plan.parameters(pp)
	}
	if err != nil {
		return c, fmt.Errorf("evidence: %w", err)
	}
	return c, nil
}

func (p *Plan) evidenceDir(image string) string {
	return filepath.Join(p.Output, "evidence", filepath.FromSlash(image))
}

// writeEvidence writes the images' evidence to OUTPUT/evidence, and removes what an
// earlier run wrote there for other platforms.
func (w *workspace) writeEvidence(all []built) error {
	for _, b := range all {
		dir := w.plan.evidenceDir(b.Name)
		files := map[string][]byte{}
		for _, s := range b.statements {
			for _, d := range append(slices.Clone(s.documents), s.bundles...) {
				files[s.name+d.Suffix] = d.Data
			}
		}
		if err := w.writeFiles(dir, files); err != nil {
			return fmt.Errorf("image %s: evidence: %w", b.Name, err)
		}
	}
	return nil
}

// writeFiles writes files to dir, and removes other evidence from it.
func (w *workspace) writeFiles(dir string, files map[string][]byte) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		_, wanted := files[e.Name()]
		if !wanted && slices.ContainsFunc(evidence.Suffixes, func(s string) bool { return strings.HasSuffix(e.Name(), s) }) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	if err := w.folder(dir); err != nil {
		return err
	}
	for name, data := range files {
		at := filepath.Join(dir, name)
		if old, err := os.ReadFile(at); err == nil && bytes.Equal(old, data) {
			continue
		}
		if err := disk.WriteBytes(at, w.scratch.Dir, 0o644, data); err != nil {
			return err
		}
	}
	return nil
}
