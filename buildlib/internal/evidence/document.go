package evidence

import (
	"bytes"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Kinds of evidence, as users name them.
const (
	KindSBOM       = "sbom"
	KindCycloneDX  = "cyclonedx"
	KindProvenance = "provenance"
)

// Kinds are all kinds.
var Kinds = []string{KindSBOM, KindCycloneDX, KindProvenance}

// Suffixes end the names of files with evidence.
var Suffixes = []string{".spdx.json", ".cdx.json", ".provenance.json", ".sigstore.json"}

// Document is a piece of evidence about one subject.
type Document struct {
	Kind string
	// Suffix is what the name of its file ends in.
	Suffix string
	// MediaType is Data's, and PredicateType its type in a statement.
	MediaType     types.MediaType
	PredicateType string
	Data          []byte
}

// NewDocument makes evidence of that kind.
func NewDocument(kind string, s *Subject) (d Document, err error) {
	switch kind {
	case KindSBOM:
		d = Document{kind, ".spdx.json", "application/spdx+json", SPDXType, nil}
		d.Data, err = SPDX(s)
	case KindCycloneDX:
		d = Document{kind, ".cdx.json", "application/vnd.cyclonedx+json", CycloneDXType, nil}
		d.Data, err = CycloneDX(s)
	case KindProvenance:
		d = Document{kind, ".provenance.json", "application/vnd.in-toto+json", ProvenanceType, nil}
		d.Data, err = Provenance(s)
	default:
		err = fmt.Errorf("%q is not a kind of evidence", kind)
	}
	return d, err
}

// Statement is the document as an in-toto statement about its subject.
func (d *Document) Statement(s *Subject) ([]byte, error) {
	if d.Kind == KindProvenance {
		return d.Data, nil
	}
	return NewStatement(s, d.PredicateType, d.Data)
}

func sha256Of(data []byte) (v1.Hash, int64, error) { return v1.SHA256(bytes.NewReader(data)) }
