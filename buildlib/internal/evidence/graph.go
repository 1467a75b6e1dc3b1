package evidence

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Subject is what a bill of materials or a provenance is about: one platform's
// image, or an index with those of all.
type Subject struct {
	Name    string  // the image's
	Version string  // as its label
	Digest  v1.Hash // of the image's manifest or the index
	// Created is the image's time, the only one in the documents.
	Created time.Time
	Images  []Contents // of an index, all of its images; else the one
	// Revision is the commit, in the repository at the address Source, both empty
	// if unknown. Dirty is set if tracked files differed from it.
	Source, Revision string
	Dirty            bool
	// Builder is a URI that names who made it (SLSA provenance, builder.id).
	Builder string
}

// IsIndex reports whether the subject is an index.
func (s *Subject) IsIndex() bool { return len(s.Images) != 1 || s.Images[0].Digest != s.Digest }

// A component's kind.
const (
	kindImage   = "image"
	kindBase    = "base"
	kindSystem  = "OperatingSystem" // trivy knows it by an ID of SPDX that begins so
	kindPackage = "package"
	kindBinary  = "binary"
	kindModule  = "module"
	kindFile    = "file"
	kindRuntime = "runtime"
)

// component is a part of an image, in any format.
type component struct {
	id      string // unique in the graph: letters, digits, dots and dashes
	kind    string
	name    string
	version string
	purl    string
	path    string // of a binary or file, in the image
	sha256  string // of the content; of an image its digest
	source  string // a distribution's source package
	license string // as the distribution writes it
	notes   []string
	// incomplete says why it may have parts that aren't known.
	incomplete string
}

// How a component relates to another.
const (
	contains     = "CONTAINS"
	dependsOn    = "DEPENDS_ON"
	descendantOf = "DESCENDANT_OF"
)

type edge struct{ from, how, to string }

// graph is what a subject is made of. The first component is the subject.
type graph struct {
	components []component
	edges      []edge
	known      map[string]bool // IDs of components
	joined     map[edge]bool
}

// newGraph describes the subject, always in the same order.
func newGraph(s *Subject) *graph {
	g := &graph{known: map[string]bool{}, joined: map[edge]bool{}}
	if !s.IsIndex() {
		g.image(s, &s.Images[0])
		return g
	}
	top := g.add(component{
		kind: kindImage, name: s.Name, version: s.Version, sha256: s.Digest.Hex,
		purl: imagePurl(s.Name, "", s.Digest.String(), ""),
	}, s.Digest.String())
	for i := range s.Images {
		g.join(top, contains, g.image(s, &s.Images[i]))
	}
	return g
}

// add adds a component once, and returns its ID. key identifies it among those of
// its kind.
func (g *graph) add(c component, key string) string {
	word := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.') {
			return r
		}
		return '-'
	}, path.Base(c.name))
	sum := sha256.Sum256([]byte(key))
	c.id = fmt.Sprintf("%s-%s-%x", c.kind, word, sum[:6])
	if !g.known[c.id] {
		g.known[c.id] = true
		g.components = append(g.components, c)
	}
	return c.id
}

func (g *graph) join(from, how, to string) {
	if e := (edge{from, how, to}); !g.joined[e] {
		g.joined[e] = true
		g.edges = append(g.edges, e)
	}
}

func (g *graph) image(s *Subject, c *Contents) string {
	arch := strings.Split(c.Platform, "/")
	id := g.add(component{
		kind: kindImage, name: s.Name, version: s.Version, sha256: c.Digest.Hex,
		purl:  imagePurl(s.Name, "", c.Digest.String(), arch[min(1, len(arch)-1)]),
		notes: []string{"platform: " + c.Platform}, incomplete: c.System.Incomplete,
	}, c.Platform+c.Digest.String())
	if b := c.Base; b != nil {
		name := cmp.Or(b.Name, "base")
		repository, _, _ := strings.Cut(name, "@")
		if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
			repository = repository[:i]
		}
		base := component{kind: kindBase, name: name, version: b.Child.String(), sha256: b.Child.Hex}
		if b.Name != "" {
			base.purl = imagePurl(repository, repository, b.Child.String(), "")
			base.notes = []string{"index: " + b.Index.String()}
		}
		g.join(id, descendantOf, g.add(base, b.Name+b.Child.String()))
	}
	g.system(id, &c.System)
	for i := range c.Binaries {
		g.binary(id, s.Version, &c.Binaries[i])
	}
	for _, f := range c.Files {
		g.join(id, contains, g.add(component{kind: kindFile, name: f.Path, path: f.Path, sha256: f.Digest.Hex}, f.Path+f.Digest.Hex))
	}
	for _, h := range c.Runtime {
		g.join(id, contains, g.add(component{
			kind: kindRuntime, name: "runtime-files", sha256: h.Hex,
			notes: []string{"accounts, certificate roots and time zones that were added, as one layer: the checksum is its diff ID"},
		}, h.String()))
	}
	return id
}

func (g *graph) system(image string, s *System) {
	in := image
	if s.ID != "" {
		in = g.add(component{kind: kindSystem, name: s.ID, version: s.Version, notes: []string{s.Name}}, s.ID+s.Version)
		g.join(image, contains, in)
	}
	for _, p := range s.Packages {
		purl := p.purl(s)
		id := g.add(component{kind: kindPackage, name: p.Name, version: p.Version, purl: purl, source: p.Source, license: p.License}, purl)
		g.join(in, contains, id)
	}
	for i := range s.Programs { // joined to the image: vulnerabilities of the system are in other databases
		g.binary(image, "", &s.Programs[i], "in the base")
	}
}

// binary adds a program. version is the main module's if it doesn't know its own.
func (g *graph) binary(in, version string, b *Binary, notes ...string) {
	c := component{kind: kindBinary, name: path.Base(b.Path), path: b.Path, sha256: b.Digest.Hex, notes: notes}
	if b.Package == "" {
		c.incomplete = "the program has no build info, so its modules aren't known"
	} else {
		// Without a stamp, the main module's own version is (devel).
		main := b.Main
		c.version = main.Version
		if c.version == "" || c.version == develVersion {
			c.version, main.Version = version, ""
			if moduleVersion.MatchString(version) {
				main.Version = version
			}
		}
		if main.Path != "" {
			c.purl = modulePurl(main)
		} else if !strings.HasPrefix(b.Package, "cmd/") { // Go's own have none
			c.incomplete = "the program was built without modules, so what it is made of isn't known"
		}
		c.notes = append(c.notes, "package: "+b.Package, "go: "+b.Go, "go build: "+strings.Join(b.Settings, " "))
	}
	id := g.add(c, b.Path+b.Digest.String())
	g.join(in, contains, id)
	if b.Package == "" {
		return
	}
	for _, m := range append([]Module{b.stdlib()}, b.Modules...) {
		g.join(id, dependsOn, g.module(m))
	}
}

// moduleVersion matches the versions of modules that can be downloaded.
var moduleVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?$`)

func (g *graph) module(m Module) string {
	c := component{kind: kindModule, name: m.Path, version: m.Version, purl: modulePurl(m)}
	if m.Sum != "" {
		c.notes = append(c.notes, "go.sum "+m.Sum)
	}
	if m.Replaces != "" && m.Version == develVersion {
		c.notes = append(c.notes, "replaced by a folder: "+m.Replaces)
	} else if m.Replaces != "" {
		c.notes = append(c.notes, "replaces "+m.Replaces)
	}
	return g.add(c, m.Path+"@"+m.Version+m.Sum+m.Replaces)
}
