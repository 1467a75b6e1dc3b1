package buildlib

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/process"
	"github.com/multimage/multimage/buildlib/internal/registry"
)

// environment has the key that Sign may name, and identities. Tests replace it.
var environment = os.Getenv

// key reads the key that Sign names; nil if it names none.
func (p *Plan) key() (*evidence.Key, error) {
	if p.Sign == "" || p.Sign == signKeyless {
		return nil, nil
	}
	var data []byte
	if variable, ok := strings.CutPrefix(p.Sign, signEnv); ok {
		if data = []byte(environment(variable)); len(data) == 0 {
			return nil, fmt.Errorf("Sign: %s: the variable is empty: set it to the private key, in PEM", p.Sign)
		}
	} else {
		var err error
		if data, err = readLimited(p.Sign, 1<<20); err != nil {
			return nil, fmt.Errorf("Sign: %w: name the file of a private key, env://NAME or keyless", err)
		}
	}
	k, err := evidence.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("Sign: %s: %w", p.Sign, err)
	}
	return k, nil
}

// identities are the variables from which cosign takes an identity.
var identities = []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SIGSTORE_ID_TOKEN", "GOOGLE_SERVICE_ACCOUNT_NAME", "BUILDKITE_AGENT_ACCESS_TOKEN"}

// signer is how images are signed. The zero value: they aren't.
type signer struct {
	key    *evidence.Key
	cosign string // the program that signs without a key
}

// signer finds out, before anything is built, whether images can be signed as Sign
// demands.
func (p *Plan) signer() (s signer, err error) {
	if s.key, err = p.key(); err != nil || p.Sign != signKeyless {
		if err == nil && s.key != nil && !s.key.CanSign() {
			err = fmt.Errorf("Sign: %s: it is a public key, which can't sign: name the private one", p.Sign)
		}
		return s, err
	}
	if s.cosign, err = exec.LookPath("cosign"); err != nil {
		return s, errors.New("Sign: keyless: the program cosign isn't in PATH: install it (sigstore.dev), or name a key")
	}
	// Without an identity, cosign would open a browser and wait.
	for _, identity := range identities {
		if environment(identity) != "" {
			return s, nil
		}
	}
	return s, errors.New("Sign: keyless: there is no identity here: in GitHub's jobs give the permission id-token: write, in GitLab's id_tokens: SIGSTORE_ID_TOKEN, or name a key")
}

// sign signs the images and their evidence with the key, if there is one, and keeps
// the signatures in OUTPUT/evidence.
func (w *workspace) sign(all []built, s signer) error {
	if s.key == nil {
		return nil
	}
	for i := range all {
		for j := range all[i].statements {
			st := &all[i].statements[j]
			if st.bundles != nil {
				continue
			}
			image, err := evidence.NewStatement(&evidence.Subject{Digest: st.of.Digest}, evidence.SignatureType, []byte("{}"))
			if err != nil {
				return err
			}
			if err := st.sign(s.key, "", evidence.SignatureType, image); err != nil {
				return err
			}
			for _, d := range st.documents {
				about, err := d.Statement(&st.subject)
				if err == nil {
					err = st.sign(s.key, strings.TrimSuffix(d.Suffix, ".json"), d.PredicateType, about)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return w.writeEvidence(all)
}

func (s *statement) sign(k *evidence.Key, suffix, predicateType string, about []byte) error {
	data, err := evidence.Sign(k, about)
	s.bundles = append(s.bundles, evidence.Document{
		Kind: "signature", Suffix: suffix + ".sigstore.json", MediaType: evidence.BundleType, PredicateType: predicateType, Data: data,
	})
	return err
}

// attachments makes the artifacts that registries get of statements.
func attachments(list []statement) ([]registry.Attachment, error) {
	var all []registry.Attachment
	for _, s := range list {
		for _, d := range append(slices.Clone(s.documents), s.bundles...) {
			a, err := evidence.NewArtifact(d, s.of, s.subject.Created)
			if err != nil {
				return nil, err
			}
			m := registry.Manifest{Type: a.Descriptor.MediaType, Raw: a.Manifest}
			m.Blobs = []registry.Blob{blobOf(d.Data), blobOf(evidence.EmptyConfig)}
			all = append(all, registry.Attachment{
				Name: d.Kind + " of " + s.name, Subject: s.of.Digest, Manifest: m, Required: d.MediaType == evidence.BundleType,
			})
		}
	}
	return all, nil
}

func blobOf(data []byte) registry.Blob {
	digest := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(data))}
	return registry.Blob{Digest: digest, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// keyless returns a function that has cosign sign an index that was pushed, and its
// evidence, unless an identity has signed them before. Nil: nothing is signed so.
func (w *workspace) keyless(at name.Repository, b *built, s signer) func(context.Context) error {
	if s.cosign == "" {
		return nil
	}
	return func(ctx context.Context) error {
		ref := at.Digest(b.Digest.String())
		signed, err := w.signedKeyless(ctx, ref, b.Digest)
		if err != nil {
			return err
		}
		var calls [][]string
		if !signed[evidence.SignatureType] {
			calls = append(calls, []string{"sign", "--yes", "--recursive", ref.String()})
		}
		for _, d := range b.statements[0].documents {
			if signed[d.PredicateType] {
				continue
			}
			kind := map[string]string{evidence.KindSBOM: "spdxjson", evidence.KindCycloneDX: "cyclonedx", evidence.KindProvenance: "slsaprovenance1"}[d.Kind]
			predicate := d.Data
			if d.Kind == evidence.KindProvenance {
				st, err := evidence.ReadStatement(d.Data, b.Digest)
				if err != nil {
					return err
				}
				predicate = st.Predicate
			}
			file := filepath.Join(w.scratch.Dir, "predicate-"+b.Digest.Hex+"-"+kind)
			if err := os.WriteFile(file, predicate, 0o600); err != nil {
				return err
			}
			calls = append(calls, []string{"attest", "--yes", "--predicate", file, "--type", kind, ref.String()})
		}
		for _, args := range calls {
			var output bytes.Buffer
			cmd := process.Command(ctx, s.cosign, args...)
			cmd.Stdout, cmd.Stderr = &output, &output
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("cosign %s: %w: %s", args[0], err, withoutIdentity(w.client.Scrub(strings.TrimSpace(output.String()))))
			}
		}
		return nil
	}
}

// withoutIdentity hides the secrets that prove an identity.
func withoutIdentity(text string) string {
	for _, variable := range identities {
		if secret := environment(variable); secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// signedKeyless are the types of statements about an index that an identity, and not
// a key, has signed. A run that failed midway has signed some of them. Whose identity
// it is matters only to those who verify.
func (w *workspace) signedKeyless(ctx context.Context, ref name.Digest, index v1.Hash) (map[string]bool, error) {
	list, err := w.client.Referrers(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for _, d := range list {
		// Some registries report the config's type instead of the artifact's.
		if !slices.Contains([]string{string(evidence.BundleType), evidence.EmptyType, ""}, d.ArtifactType) {
			continue
		}
		data, media, err := w.content(ctx, ref.Context(), d)
		if err != nil {
			return nil, err
		}
		if media != string(evidence.BundleType) {
			continue
		}
		if st, err := evidence.Open(data, index, nil); err == nil && !st.ByKey {
			signed[st.PredicateType] = true
		}
	}
	return signed, nil
}

// content gets an artifact's only layer, and its media type. Both are empty if the
// artifact isn't like ours.
func (w *workspace) content(ctx context.Context, repo name.Repository, d v1.Descriptor) (data []byte, media string, err error) {
	_, m, err := w.client.Manifest(ctx, repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, "", err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(m.Raw, &manifest); err != nil || len(manifest.Layers) != 1 {
		return nil, "", nil // someone else's
	}
	const maxSize = 64 << 20
	if manifest.Layers[0].Size > maxSize {
		return nil, "", nil
	}
	rc, err := w.client.Blob(ctx, repo, manifest.Layers[0])
	if err != nil {
		return nil, "", err
	}
	defer rc.Close()
	data, err = io.ReadAll(rc)
	return data, string(manifest.Layers[0].MediaType), err
}
