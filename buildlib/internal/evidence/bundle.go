package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// BundleType is the media type of a signed statement (Sigstore bundle v0.3).
const BundleType types.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

const payloadType = "application/vnd.in-toto+json"

// bundle is a Sigstore bundle with a DSSE envelope and a key's hint (github.com/sigstore/protobuf-specs, sigstore_bundle.proto).
type bundle struct {
	MediaType    types.MediaType `json:"mediaType"`
	Verification struct {
		PublicKey *keyHint `json:"publicKey,omitempty"`
	} `json:"verificationMaterial"`
	Envelope envelope `json:"dsseEnvelope"`
}

type keyHint struct {
	Hint string `json:"hint"`
}

// envelope is DSSE's (github.com/secure-systems-lab/dsse).
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig []byte `json:"sig"`
}

// encoding is what gets signed (DSSE, pre-authentication encoding).
func (e *envelope) encoding() []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
}

// Sign makes a bundle of a statement.
func Sign(k *Key, statement []byte) ([]byte, error) {
	b := bundle{MediaType: BundleType, Envelope: envelope{Payload: statement, PayloadType: payloadType}}
	b.Verification.PublicKey = &keyHint{k.Hint()}
	sig, err := k.sign(b.Envelope.encoding())
	if err != nil {
		return nil, err
	}
	b.Envelope.Signatures = []signature{{sig}}
	return json.Marshal(b)
}

// Open returns the statement of a bundle, which must be about the subject and, if
// there is a key, signed by it.
func Open(data []byte, subject v1.Hash, k *Key) (*Statement, error) {
	var b bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("not a bundle: %w", err)
	}
	if b.Envelope.PayloadType != payloadType {
		return nil, fmt.Errorf("the bundle has no in-toto statement but %.60q", b.Envelope.PayloadType)
	}
	if k != nil {
		message := b.Envelope.encoding()
		if !slices.ContainsFunc(b.Envelope.Signatures, func(s signature) bool { return k.verify(message, s.Sig) }) {
			return nil, errors.New("the signature is not by this key, or what is signed was changed")
		}
	}
	st, err := ReadStatement(b.Envelope.Payload, subject)
	if st != nil {
		st.ByKey = b.Verification.PublicKey != nil
	}
	return st, err
}

// ReadStatement reads a statement, which must be about the subject.
func ReadStatement(data []byte, subject v1.Hash) (*Statement, error) {
	var s Statement
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("not an in-toto statement: %w", err)
	}
	if s.Type != statementType {
		return nil, fmt.Errorf("not an in-toto statement but %.60q", s.Type)
	}
	if !slices.ContainsFunc(s.Subject, func(r Resource) bool { return r.Digest[subject.Algorithm] == subject.Hex }) {
		return nil, fmt.Errorf("the statement is about something else than %s", subject)
	}
	return &s, nil
}
