package evidence

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
)

// Classes of what differs between two indexes.
const (
	Environment   = "environment"      // another Go, build setting or base
	Configuration = "configuration"    // of an image, labels and annotations included
	Content       = "file content"     // or a file that is only in one of them
	Metadata      = "tar metadata"     // modes, owners, times
	Compression   = "compression"      // the same layer, compressed differently
	Platforms     = "platforms"        // one is missing, or extra
	Attached      = "what is attached" // a wrong signature or statement
)

// Difference is the first difference of two indexes, top down.
type Difference struct {
	Class  string   `json:"class"`
	Path   []string `json:"path"` // from the index to what differs
	Detail string   `json:"detail"`
}

func (d *Difference) String() string {
	return strings.Join(append(slices.Clone(d.Path), d.Detail), " > ")
}

// maxFile bounds a file whose content is compared, in bytes.
const maxFile = 2 << 30

// Compare finds the first difference of two indexes, of which here was built and
// there was published. Nil: they are the same.
func Compare(ctx context.Context, here, there v1.ImageIndex) (*Difference, error) {
	a, b, err := ofBoth(here.IndexManifest, there.IndexManifest)
	if err != nil {
		return nil, err
	}
	one, other, err := ofBoth(here.RawManifest, there.RawManifest)
	if err != nil || bytes.Equal(one, other) {
		return nil, err
	}
	built := map[string]v1.Descriptor{}
	for _, d := range a.Manifests {
		built[platformOf(d)] = d
	}
	published := map[string]bool{}
	for _, d := range b.Manifests {
		published[platformOf(d)] = true
		if _, ok := built[platformOf(d)]; !ok {
			return &Difference{Platforms, []string{"index"}, platformOf(d) + " only there"}, nil
		}
	}
	for _, d := range a.Manifests {
		if !published[platformOf(d)] {
			return &Difference{Platforms, []string{"index"}, platformOf(d) + " only here"}, nil
		}
	}
	for _, d := range b.Manifests {
		mine := built[platformOf(d)]
		if mine.Digest == d.Digest {
			continue
		}
		x, err := here.Image(mine.Digest)
		if err != nil {
			return nil, err
		}
		y, err := there.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		return compareImages(ctx, []string{"index", platformOf(d)}, x, y)
	}
	if at := compareMaps(a.Annotations, b.Annotations); at != "" {
		return &Difference{annotationClass(at), []string{"index", "annotations"}, at}, nil
	}
	return &Difference{Configuration, []string{"index"}, "the manifests differ, but neither their images nor their annotations do"}, nil
}

// ofBoth calls a method of here and of there.
func ofBoth[T any](here, there func() (T, error)) (a, b T, err error) {
	if a, err = here(); err == nil {
		b, err = there()
	}
	return a, b, err
}

func platformOf(d v1.Descriptor) string {
	if d.Platform == nil {
		return "no platform (" + d.Digest.String() + ")"
	}
	return d.Platform.String()
}

func annotationClass(at string) string {
	if strings.HasPrefix(at, "org.opencontainers.image.base.") {
		return Environment
	}
	return Configuration
}

func compareImages(ctx context.Context, path []string, here, there v1.Image) (*Difference, error) {
	a, b, err := ofBoth(here.ConfigFile, there.ConfigFile)
	if err != nil {
		return nil, err
	}
	// The rest of the config is about the layers, which are compared below.
	x, y := a.DeepCopy(), b.DeepCopy()
	for _, c := range []*v1.ConfigFile{x, y} {
		c.RootFS, c.History = v1.RootFS{}, nil
	}
	if at := compareMaps(x.Config.Labels, y.Config.Labels); at != "" {
		return &Difference{annotationClass(at), append(path, "config", "labels"), at}, nil
	}
	if at, err := compareJSON(x, y); err != nil || at != "" {
		return &Difference{Configuration, append(path, "config"), at}, err
	}
	mine, err := readLayers(here)
	if err != nil {
		return nil, err
	}
	theirs, err := readLayers(there)
	if err != nil {
		return nil, err
	}
	for i := range max(len(mine), len(theirs)) {
		at := fmt.Sprintf("layer %d", i+1)
		if i >= len(mine) {
			return &Difference{Content, append(path, at), "only there: " + theirs[i].createdBy}, nil
		}
		at += " (" + strings.TrimPrefix(mine[i].createdBy, "multimage: ") + ")"
		if i >= len(theirs) {
			return &Difference{Content, append(path, at), "only here"}, nil
		}
		if d, err := compareLayers(ctx, append(path, at), mine[i], theirs[i]); d != nil || err != nil {
			return d, err
		}
	}
	m, n, err := ofBoth(here.Manifest, there.Manifest)
	if err != nil {
		return nil, err
	}
	if at := compareMaps(m.Annotations, n.Annotations); at != "" {
		return &Difference{annotationClass(at), append(path, "annotations"), at}, nil
	}
	at, err := compareJSON(a, b)
	if at == "" {
		at = "the manifests are encoded differently"
	}
	return &Difference{Configuration, append(path, "config"), at}, err
}

// compareJSON says which field of two values differs first.
func compareJSON(here, there any) (string, error) {
	a, err := fieldsOf(here)
	if err != nil {
		return "", err
	}
	b, err := fieldsOf(there)
	return compareFields("", a, b), err
}

// fieldsOf returns the fields of a value's JSON.
func fieldsOf(value any) (all map[string]any, err error) {
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	return all, err
}

func compareFields(at string, here, there any) string {
	if reflect.DeepEqual(here, there) {
		return ""
	}
	a, ok := here.(map[string]any)
	b, both := there.(map[string]any)
	if !ok || !both {
		x, _ := json.Marshal(here)
		y, _ := json.Marshal(there)
		return fmt.Sprintf("%s %s here, %s there", at, x, y)
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if found := compareFields(strings.TrimPrefix(at+"."+key, "."), a[key], b[key]); found != "" {
			return found
		}
	}
	return ""
}

// compareLayers compares entry by entry: both are sorted by name.
func compareLayers(ctx context.Context, path []string, here, there layer) (*Difference, error) {
	if here.diffID == there.diffID {
		a, b, err := ofBoth(here.Digest, there.Digest)
		if err == nil && a != b {
			return &Difference{Compression, path, fmt.Sprintf("%s here, %s there: the same content", a, b)}, nil
		}
		return nil, err
	}
	a, err := here.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := there.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	x, y := tar.NewReader(disk.Reader(ctx, a)), tar.NewReader(disk.Reader(ctx, b))
	var metadata *Difference
	for {
		h, err := next(x)
		if err != nil {
			return nil, fmt.Errorf("layer %s here: %w", here.diffID, err)
		}
		g, err := next(y)
		if err != nil {
			return nil, fmt.Errorf("layer %s there: %w", there.diffID, err)
		}
		switch {
		case h == nil && g == nil:
			if metadata == nil {
				metadata = &Difference{Metadata, path, "the tar archives are encoded differently"}
			}
			return metadata, nil
		case g == nil || h != nil && h.Name < g.Name:
			return &Difference{Content, path, "/" + clean(h.Name) + " only here"}, nil
		case h == nil || h.Name > g.Name:
			return &Difference{Content, path, "/" + clean(g.Name) + " only there"}, nil
		}
		at := append(slices.Clone(path), "/"+clean(h.Name))
		if h.Typeflag == tar.TypeReg && g.Typeflag == tar.TypeReg {
			if d, err := compareFiles(at, x, y); d != nil || err != nil {
				return d, err
			}
		}
		if found := compareHeaders(h, g); found != "" && metadata == nil {
			metadata = &Difference{Metadata, at, found} // unless a content differs, too
		}
	}
}

// next returns the next entry; nil at the end.
func next(r *tar.Reader) (*tar.Header, error) {
	h, err := r.Next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return h, err
}

func compareHeaders(h, g *tar.Header) string {
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"type", string(h.Typeflag), string(g.Typeflag)}, {"mode", fmt.Sprintf("%04o", h.Mode), fmt.Sprintf("%04o", g.Mode)},
		{"UID", h.Uid, g.Uid}, {"GID", h.Gid, g.Gid}, {"link", h.Linkname, g.Linkname},
		{"time", h.ModTime.UTC(), g.ModTime.UTC()}, {"attributes", h.PAXRecords, g.PAXRecords},
	} {
		if !reflect.DeepEqual(f.a, f.b) {
			return fmt.Sprintf("%s %v here, %v there", f.name, f.a, f.b)
		}
	}
	return ""
}

func compareFiles(path []string, here, there io.Reader) (*Difference, error) {
	a, err := io.ReadAll(io.LimitReader(here, maxFile))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(there, maxFile))
	if err != nil || bytes.Equal(a, b) {
		return nil, err
	}
	d := &Difference{Content, path, firstByte(a, b)}
	if section := firstSection(a, b); section != "" {
		d.Detail = section
	}
	var x, y Binary
	x.read(bytes.NewReader(a))
	y.read(bytes.NewReader(b))
	if found := x.difference(&y); found != "" {
		d.Detail += "; build info: " + found
	}
	if x.Go != y.Go && x.Go != "" && y.Go != "" {
		d.Class = Environment
	}
	return d, nil
}

func firstByte(a, b []byte) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("differs from byte %d on (line %d)", i, bytes.Count(a[:i], []byte("\n"))+1)
		}
	}
	return fmt.Sprintf("%d bytes here, %d there", len(a), len(b))
}

// firstSection says which section of two ELF programs differs first; nothing of
// other files.
func firstSection(a, b []byte) string {
	x, err := elf.NewFile(bytes.NewReader(a))
	if err != nil {
		return ""
	}
	y, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return ""
	}
	// Code says more than the build ID, which is a hash of all of it.
	order := func(s *elf.Section) int {
		return slices.Index([]string{".note.go.buildid", ".note.gnu.build-id"}, s.Name)
	}
	slices.SortStableFunc(x.Sections, func(s, t *elf.Section) int { return order(s) - order(t) })
	for _, s := range x.Sections {
		o := y.Section(s.Name)
		if o == nil {
			return s.Name + " only here"
		}
		if s.Type == elf.SHT_NOBITS {
			continue
		}
		p, err := s.Data()
		q, err2 := o.Data()
		if err != nil || err2 != nil || bytes.Equal(p, q) {
			continue
		}
		for i := range min(len(p), len(q)) {
			if p[i] != q[i] {
				return fmt.Sprintf("%s differs at 0x%x", s.Name, s.Addr+uint64(i))
			}
		}
		return fmt.Sprintf("%s has %d bytes here, %d there", s.Name, len(p), len(q))
	}
	return ""
}
