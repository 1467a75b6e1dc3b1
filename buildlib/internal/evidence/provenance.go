package evidence

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Predicate types of statements.
const (
	ProvenanceType = "https://slsa.dev/provenance/v1"
	SPDXType       = "https://spdx.dev/Document" // as cosign and BuildKit write it
	CycloneDXType  = "https://cyclonedx.org/bom"
	SignatureType  = "https://sigstore.dev/cosign/sign/v1"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	// buildType is where externalParameters are described.
	buildType = "https://github.com/multimage/multimage/blob/main/README.md#provenance"
)

// Statement is an in-toto statement (github.com/in-toto/attestation, v1).
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
	// ByKey is set if it is from a bundle that a key has signed: an identity's has
	// a certificate instead.
	ByKey bool `json:"-"`
}

// Resource is in-toto's ResourceDescriptor.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// NewStatement makes a statement about the subject and, if that is an index, its
// images.
func NewStatement(s *Subject, predicateType string, predicate []byte) ([]byte, error) {
	st := Statement{Type: statementType, PredicateType: predicateType, Predicate: predicate}
	st.Subject = append(st.Subject, imageResource(s.Name, "", s.Digest))
	if s.IsIndex() {
		for _, c := range s.Images {
			st.Subject = append(st.Subject, imageResource(s.Name+" "+c.Platform, "", c.Digest))
		}
	}
	return json.Marshal(st)
}

// Provenance states how the subject was made (slsa.dev/spec/v1.1/provenance). It
// has neither a time nor a run's number: the same build gives the same bytes.
func Provenance(s *Subject) ([]byte, error) {
	var p provenance
	d := &p.Definition
	d.Type = buildType
	d.External.Image, d.External.Version = s.Name, s.Version
	if s.Revision != "" {
		r := Resource{Name: "source", Digest: map[string]string{"gitCommit": s.Revision}}
		if s.Source != "" {
			r.URI = "git+" + s.Source
		}
		if s.Dirty {
			r.Annotations = map[string]any{"dirty": true}
		}
		d.Dependencies = append(d.Dependencies, r)
	}
	known := map[string]bool{}
	depend := func(r Resource) {
		if key := r.URI + " " + r.Digest["sha256"] + " " + r.Digest["dirHash"]; !known[key] {
			known[key] = true
			d.Dependencies = append(d.Dependencies, r)
		}
	}
	var modules []Resource
	for i := range s.Images {
		c := &s.Images[i]
		d.External.Platforms = append(d.External.Platforms, platformParameters{c.Platform, c.Parameters})
		if c.Base != nil {
			depend(imageResource("base of "+c.Platform, c.Base.Name, c.Base.Child))
			depend(imageResource("base", c.Base.Name, c.Base.Index))
		}
		for j := range c.Binaries {
			if c.Binaries[j].Package == "" {
				continue
			}
			depend(Resource{Name: "go", URI: purl("generic", "go", c.Binaries[j].stdlib().Version, nil)})
			for _, m := range c.Binaries[j].Modules {
				modules = append(modules, moduleResource(m))
			}
		}
	}
	slices.SortFunc(modules, func(a, b Resource) int { return strings.Compare(a.URI, b.URI) })
	for _, m := range modules {
		depend(m)
	}
	p.Run.Builder.ID = s.Builder
	predicate, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return NewStatement(s, ProvenanceType, predicate)
}

type provenance struct {
	Definition definition `json:"buildDefinition"`
	Run        struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

type definition struct {
	Type     string `json:"buildType"`
	External struct {
		Image     string               `json:"image"`
		Version   string               `json:"version"`
		Platforms []platformParameters `json:"platforms"`
	} `json:"externalParameters"`
	Dependencies []Resource `json:"resolvedDependencies,omitempty"`
}

type platformParameters struct {
	Platform   string          `json:"platform"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

func imageResource(name, reference string, h v1.Hash) Resource {
	return Resource{Name: name, URI: reference, Digest: map[string]string{h.Algorithm: h.Hex}}
}

// moduleResource names a module with its hash in go.sum (in-toto attestation,
// digest_set.md, dirHash).
func moduleResource(m Module) Resource {
	r := Resource{URI: modulePurl(m)}
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil {
			r.Digest = map[string]string{"dirHash": hex.EncodeToString(raw)}
		}
	}
	return r
}
