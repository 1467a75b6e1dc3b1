package evidence

import (
	"encoding/json"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Artifact is a piece of evidence as registries have it: a manifest with a
// subject, and one layer (OCI image spec, manifest.md, "Guidelines for Artifact
// Usage").
type Artifact struct {
	Name        string // for people: sbom, signature
	Descriptor  v1.Descriptor
	Annotations map[string]string
	Type        string // artifactType
	Manifest    []byte
	Layer       []byte
	// Required is set if a registry that refuses it is an error.
	Required bool
}

// EmptyConfig is the content of the config of artifacts that have none.
var EmptyConfig = []byte("{}")

// emptyConfig describes it (image spec, "Guidance for an Empty Descriptor").
var emptyConfig = v1.Descriptor{
	MediaType: "application/vnd.oci.empty.v1+json", Size: 2, Data: EmptyConfig,
	Digest: v1.Hash{Algorithm: "sha256", Hex: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
}

// NewArtifact makes the artifact of a document or bundle.
func NewArtifact(name string, media types.MediaType, predicateType string, data []byte, subject v1.Descriptor, created time.Time) (a Artifact, err error) {
	a = Artifact{Name: name, Type: string(media), Layer: data, Required: media == BundleType}
	a.Annotations = map[string]string{"org.opencontainers.image.created": created.UTC().Format(time.RFC3339)}
	switch media {
	case BundleType: // as cosign writes it
		a.Annotations["dev.sigstore.bundle.content"] = "dsse-envelope"
		a.Annotations["dev.sigstore.bundle.predicateType"] = predicateType
	case payloadType:
		a.Annotations["in-toto.io/predicate-type"] = predicateType
	}
	digest, size, err := sha256Of(data)
	if err != nil {
		return a, err
	}
	a.Manifest, err = json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     types.MediaType   `json:"mediaType"`
		ArtifactType  string            `json:"artifactType"`
		Config        v1.Descriptor     `json:"config"`
		Layers        []v1.Descriptor   `json:"layers"`
		Subject       v1.Descriptor     `json:"subject"`
		Annotations   map[string]string `json:"annotations"`
	}{
		2, types.OCIManifestSchema1, a.Type, emptyConfig,
		[]v1.Descriptor{{MediaType: media, Digest: digest, Size: size}},
		v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		a.Annotations,
	})
	if err != nil {
		return a, err
	}
	a.Descriptor = v1.Descriptor{MediaType: types.OCIManifestSchema1, ArtifactType: a.Type, Annotations: a.Annotations}
	a.Descriptor.Digest, a.Descriptor.Size, err = sha256Of(a.Manifest)
	return a, err
}
