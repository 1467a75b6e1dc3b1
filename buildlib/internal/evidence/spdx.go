package evidence

import (
	"encoding/json"
	"time"
)

// SPDX writes a bill of materials as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3).
// The same subject gives the same bytes everywhere.
func SPDX(s *Subject) ([]byte, error) {
	g := newGraph(s)
	created := s.Created.UTC().Format(time.RFC3339)
	doc := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: spdxRef + "DOCUMENT", Name: s.Name,
		// 6.5: unique to this document, which the digest is.
		Namespace: "https://github.com/multimage/multimage/spdx/" + s.Name + "/" + s.Digest.Hex,
		Creation:  spdxCreation{created, []string{spdxTool}},
		Packages:  []spdxPackage{},
		Relationships: []spdxRelationship{
			{spdxRef + "DOCUMENT", "DESCRIBES", spdxRef + g.components[0].id},
		},
	}
	note := func(text string) spdxAnnotation { return spdxAnnotation{created, "OTHER", spdxTool, text} }
	for _, c := range g.components {
		var notes []spdxAnnotation
		for _, n := range c.notes {
			notes = append(notes, note(n))
		}
		if c.incomplete != "" {
			notes = append(notes, note("incomplete: "+c.incomplete))
			doc.Relationships = append(doc.Relationships, spdxRelationship{spdxRef + c.id, contains, "NOASSERTION"})
		}
		p := spdxPackage{
			ID: spdxRef + c.id, Name: c.name, Version: c.version, File: c.path, Purpose: spdxPurposes[c.kind], Annotations: notes,
			Download: "NOASSERTION", Concluded: "NOASSERTION", Declared: "NOASSERTION", Copyright: "NOASSERTION",
		}
		if c.source != "" {
			p.Source = "built package from: " + c.source // in trivy's words
		}
		if c.license != "" {
			p.LicenseComments = "the package manager's database says: " + c.license
		}
		if c.sha256 != "" {
			p.Checksums = []spdxChecksum{{"SHA256", c.sha256}}
		}
		if c.purl != "" {
			p.Refs = []spdxReference{{"PACKAGE-MANAGER", "purl", c.purl}}
		}
		doc.Packages = append(doc.Packages, p)
	}
	for _, e := range g.edges {
		doc.Relationships = append(doc.Relationships, spdxRelationship{spdxRef + e.from, e.how, spdxRef + e.to})
	}
	data, err := json.MarshalIndent(doc, "", " ")
	return append(data, '\n'), err
}

const (
	spdxRef  = "SPDXRef-"
	spdxTool = "Tool: multimage"
)

var spdxPurposes = map[string]string{
	kindImage: "CONTAINER", kindBase: "CONTAINER", kindSystem: "OPERATING_SYSTEM", kindPackage: "LIBRARY",
	kindBinary: "APPLICATION", kindModule: "LIBRARY", kindFile: "FILE", kindRuntime: "ARCHIVE",
}

type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	License       string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID              string           `json:"SPDXID"`
	Name            string           `json:"name"`
	Version         string           `json:"versionInfo,omitempty"`
	File            string           `json:"packageFileName,omitempty"`
	Download        string           `json:"downloadLocation"`
	FilesAnalyzed   bool             `json:"filesAnalyzed"`
	Source          string           `json:"sourceInfo,omitempty"`
	Concluded       string           `json:"licenseConcluded"`
	Declared        string           `json:"licenseDeclared"`
	LicenseComments string           `json:"licenseComments,omitempty"`
	Copyright       string           `json:"copyrightText"`
	Purpose         string           `json:"primaryPackagePurpose,omitempty"`
	Checksums       []spdxChecksum   `json:"checksums,omitempty"`
	Refs            []spdxReference  `json:"externalRefs,omitempty"`
	Annotations     []spdxAnnotation `json:"annotations,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxReference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxAnnotation struct {
	Date    string `json:"annotationDate"`
	Type    string `json:"annotationType"`
	By      string `json:"annotator"`
	Comment string `json:"comment"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}
