package buildlib

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/evidence"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// publicKey writes the public key of a private one, and returns its file.
func publicKey(t *testing.T, private string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, private)))
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "public.pem")
	write(t, at, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	return at
}

// What we sign cosign verifies, and the other way round, with the commands that
// the README names.
func TestCosign(t *testing.T) {
	program, err := exec.LookPath("cosign")
	if err != nil {
		testenv.Missing(t, "cosign", "it isn't in PATH: go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3")
	}
	home := t.TempDir()
	cosign := func(args ...string) (string, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "COSIGN_PASSWORD=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	was, common := emptyCache, t.TempDir()
	emptyCache = func(string) string { return common }
	t.Cleanup(func() { emptyCache = was })
	f := oneMain()
	f[".gitignore"] = "dist\n"
	dir := project(t, f)
	commit(t, dir, "v1.0.0")
	key, other := newKey(t), publicKey(t, newKey(t))
	public := publicKey(t, key)
	for name, referrers := range map[string]bool{"referrers API": true, "fallback tag": false} {
		t.Run(name, func(t *testing.T) {
			reg := newAskedRegistry(t, referrers)
			ours := Project{Registries: []string{reg.host + "/ours"}, Evidence: evidence.Kinds, Sign: key}
			list, err := plan(t, dir, ours, Overrides{}).Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range []v1.Hash{list[0].Digest, list[0].Platforms[1].Digest} {
				ref := reg.host + "/ours/server@" + h.String()
				for _, args := range [][]string{{"verify"}, {"verify-attestation", "--type", "spdxjson"}, {"verify-attestation", "--type", "cyclonedx"}, {"verify-attestation", "--type", "slsaprovenance1"}} {
					args = append(args, "--insecure-ignore-tlog", "--key")
					if out, err := cosign(append(args, public, ref)...); err != nil {
						t.Errorf("cosign %q: %v\n%s", args, err, out)
					}
					if out, err := cosign(append(args, other, ref)...); err == nil || !strings.Contains(out, "signature") {
						t.Errorf("another key: cosign %q: %v\n%s", args, err, out)
					}
				}
			}

			theirs := Project{Registries: []string{reg.host + "/theirs"}}
			if _, err := plan(t, dir, theirs, Overrides{}).Manifest(t.Context()); err != nil {
				t.Fatal(err)
			}
			ref := reg.host + "/theirs/server@" + list[0].Digest.String()
			os.Remove(filepath.Join(home, "import-cosign.key"))
			for _, args := range [][]string{
				{"import-key-pair", "--yes", "--key", key},
				{"sign", "--yes", "--recursive", "--key", "import-cosign.key", "--use-signing-config=false", "--tlog-upload=false", ref},
			} {
				if out, err := cosign(args...); err != nil {
					t.Fatalf("cosign %q: %v\n%s", args, err, out)
				}
			}
			theirs.Sign = public
			check(t, dir, theirs, ref, 0, "")
			theirs.Sign = other
			check(t, dir, theirs, ref, 1, "what is attached: index > referrer sha256:")
		})
	}
}
