package evidence

import (
	"encoding/json"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Artifact is a document in a registry: a manifest with a subject and one layer
// (OCI image spec, manifest.md, "Guidelines for Artifact Usage").
type Artifact struct {
	Descriptor v1.Descriptor
	Manifest   []byte
}

// EmptyType is the media type of EmptyConfig.
const EmptyType = "application/vnd.oci.empty.v1+json"

// EmptyConfig is the content of the config of artifacts, which have none.
var EmptyConfig = []byte("{}")

// emptyConfig describes it (image spec, "Guidance for an Empty Descriptor").
var emptyConfig = v1.Descriptor{
	MediaType: EmptyType, Size: 2, Data: EmptyConfig,
	Digest: v1.Hash{Algorithm: "sha256", Hex: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
}

// NewArtifact makes the artifact of a document about the subject.
func NewArtifact(d Document, subject v1.Descriptor, created time.Time) (a Artifact, err error) {
	annotations := map[string]string{"org.opencontainers.image.created": created.UTC().Format(time.RFC3339)}
	switch d.MediaType {
	case BundleType: // as cosign writes it
		annotations["dev.sigstore.bundle.content"] = "dsse-envelope"
		annotations["dev.sigstore.bundle.predicateType"] = d.PredicateType
	case payloadType:
		annotations["in-toto.io/predicate-type"] = d.PredicateType
	}
	layer := v1.Descriptor{MediaType: d.MediaType}
	if layer.Digest, layer.Size, err = sha256Of(d.Data); err != nil {
		return a, err
	}
	a.Manifest, err = json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     types.MediaType   `json:"mediaType"`
		ArtifactType  types.MediaType   `json:"artifactType"`
		Config        v1.Descriptor     `json:"config"`
		Layers        []v1.Descriptor   `json:"layers"`
		Subject       v1.Descriptor     `json:"subject"`
		Annotations   map[string]string `json:"annotations"`
	}{
		2, types.OCIManifestSchema1, d.MediaType, emptyConfig, []v1.Descriptor{layer},
		v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}, annotations,
	})
	if err != nil {
		return a, err
	}
	a.Descriptor = v1.Descriptor{MediaType: types.OCIManifestSchema1, ArtifactType: string(d.MediaType), Annotations: annotations}
	a.Descriptor.Digest, a.Descriptor.Size, err = sha256Of(a.Manifest)
	return a, err
}
