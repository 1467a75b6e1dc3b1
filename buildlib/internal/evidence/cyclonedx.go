package evidence

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// CycloneDX writes a bill of materials as CycloneDX 1.6 (cyclonedx.org/docs/1.6),
// with the same parts as SPDX. The same subject gives the same bytes everywhere.
func CycloneDX(s *Subject) ([]byte, error) {
	g := newGraph(s)
	doc := cdxDocument{
		Format: "CycloneDX", SpecVersion: "1.6", Serial: serial(s), Version: 1,
		Metadata: cdxMetadata{
			Timestamp: s.Created.UTC().Format(time.RFC3339),
			Tools:     cdxTools{[]cdxComponent{{Type: "application", Name: "multimage"}}},
			Component: cdxOf(g.components[0]),
		},
		Components:   []cdxComponent{},
		Dependencies: []cdxDependency{},
	}
	dependencies, known := map[string][]string{}, map[edge]bool{}
	for _, e := range g.edges {
		if e.how = ""; !known[e] {
			known[e] = true
			dependencies[e.from] = append(dependencies[e.from], e.to)
		}
	}
	var incomplete []string
	for i, c := range g.components {
		if i > 0 {
			doc.Components = append(doc.Components, cdxOf(c))
		}
		doc.Dependencies = append(doc.Dependencies, cdxDependency{c.id, dependencies[c.id]})
		if c.incomplete != "" {
			incomplete = append(incomplete, c.id)
		}
	}
	if incomplete != nil {
		doc.Compositions = []cdxComposition{{"incomplete", incomplete}}
	}
	data, err := json.MarshalIndent(doc, "", " ")
	return append(data, '\n'), err
}

// serial is a UUID of the subject's digest (RFC 9562, version 8).
func serial(s *Subject) string {
	u := sha256.Sum256([]byte("multimage " + s.Name + " " + s.Digest.String()))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

var cdxTypes = map[string]string{
	kindImage: "container", kindBase: "container", kindSystem: "operating-system", kindPackage: "library",
	kindBinary: "application", kindModule: "library", kindFile: "file", kindRuntime: "file",
}

func cdxOf(c component) cdxComponent {
	o := cdxComponent{Type: cdxTypes[c.kind], Ref: c.id, Name: c.name, Version: c.version, Purl: c.purl}
	if c.sha256 != "" {
		o.Hashes = append(o.Hashes, cdxHash{"SHA-256", c.sha256})
	}
	put := func(key, value string) {
		if value != "" {
			o.Properties = append(o.Properties, cdxProperty{"multimage:" + key, value})
		}
	}
	put("path", c.path)
	put("source", c.source)
	put("license", c.license)
	put("incomplete", c.incomplete)
	for _, n := range c.notes {
		put("note", n)
	}
	return o
}

type cdxDocument struct {
	Format       string           `json:"bomFormat"`
	SpecVersion  string           `json:"specVersion"`
	Serial       string           `json:"serialNumber"`
	Version      int              `json:"version"`
	Metadata     cdxMetadata      `json:"metadata"`
	Components   []cdxComponent   `json:"components"`
	Dependencies []cdxDependency  `json:"dependencies"`
	Compositions []cdxComposition `json:"compositions,omitempty"`
}

type cdxMetadata struct {
	Timestamp string       `json:"timestamp"`
	Tools     cdxTools     `json:"tools"`
	Component cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

type cdxComponent struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref,omitempty"`
	Name       string        `json:"name"`
	Version    string        `json:"version,omitempty"`
	Hashes     []cdxHash     `json:"hashes,omitempty"`
	Purl       string        `json:"purl,omitempty"`
	Properties []cdxProperty `json:"properties,omitempty"`
}

type cdxHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type cdxProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type cdxDependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn,omitempty"`
}

type cdxComposition struct {
	Aggregate  string   `json:"aggregate"`
	Assemblies []string `json:"assemblies"`
}
