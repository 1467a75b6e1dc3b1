package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func privatePEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSign(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, private := range map[string]any{"ECDSA": ecKey(t, elliptic.P256()), "Ed25519": ed} {
		k, err := ParseKey(privatePEM(t, private))
		if err != nil {
			t.Fatal(err)
		}
		public, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der}))
		if err != nil || public.CanSign() {
			t.Fatalf("%s: public key: %v", name, err)
		}
		statement, err := NewStatement(&Subject{Digest: hash("1")}, SignatureType, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := Sign(k, statement)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Sign(k, statement); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: signed again, other bytes: %v", name, err)
		}
		if st, err := Open(data, hash("1"), public); err != nil || st.PredicateType != SignatureType {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Open(data, hash("2"), public); err == nil {
			t.Errorf("%s: another subject is accepted", name)
		}
		other, err := ParseKey(privatePEM(t, ecKey(t, elliptic.P256())))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(data, hash("1"), other); err == nil {
			t.Errorf("%s: another key is accepted", name)
		}
		changed := bytes.Replace(statement, []byte("111"), []byte("112"), 1)
		flipped := bytes.Replace(data, []byte(base64.StdEncoding.EncodeToString(statement)), []byte(base64.StdEncoding.EncodeToString(changed)), 1)
		if _, err := Open(flipped, hash("1"), public); bytes.Equal(flipped, data) || err == nil || !strings.Contains(err.Error(), "not by this key") {
			t.Errorf("%s: a changed statement: %v", name, err)
		}
		if _, err := Sign(public, statement); err == nil {
			t.Errorf("%s: a public key signs", name)
		}
	}
}

func TestParseKeyMistakes(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for _, tt := range []struct {
		data []byte
		want string
	}{
		{[]byte("secret"), "no key in PEM"},
		{block("PRIVATE KEY", []byte("secret")), "damaged"},
		{privatePEM(t, ecKey(t, elliptic.P384())), "curve P-384"},
		{privatePEM(t, r), "want ECDSA on P-256"},
		{block("EC PRIVATE KEY", sec1), "openssl pkcs8 -topk8 -nocrypt"},
		{block("ENCRYPTED PRIVATE KEY", []byte("secret")), "encrypted"},
		{block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("secret")), "encrypted"},
		{block("CERTIFICATE", []byte("secret")), `"CERTIFICATE" is not a key`},
	} {
		_, err := ParseKey(tt.data)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// What others read, with their own code: @sigstore/verify of npm, in a folder that
// TEST_SIGSTORE names (npm install @sigstore/verify @sigstore/bundle).
func TestSigstoreReads(t *testing.T) {
	folder := os.Getenv("TEST_SIGSTORE")
	if folder == "" {
		testenv.Missing(t, "sigstore", "TEST_SIGSTORE names no folder with @sigstore/verify and @sigstore/bundle of npm")
	}
	script, err := filepath.Abs("testdata/verify.js")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(privatePEM(t, ecKey(t, elliptic.P256())))
	if err != nil {
		t.Fatal(err)
	}
	data, err := NewStatement(&Subject{Digest: hash("1")}, SignatureType, []byte("{}"))
	if err == nil {
		data, err = Sign(k, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Replace(data, []byte(`"sig":"MEU`), []byte(`"sig":"MEV`), 1)
	flipped = bytes.Replace(flipped, []byte(`"sig":"MEQ`), []byte(`"sig":"MEX`), 1)
	flipped = bytes.Replace(flipped, []byte(`"payload":"eyJf`), []byte(`"payload":"eyJg`), 1)
	for _, tt := range []struct {
		bundle []byte
		good   bool
	}{{data, true}, {flipped, false}} {
		at := filepath.Join(t.TempDir(), "bundle.json")
		key := filepath.Join(t.TempDir(), "public.pem")
		if err := os.WriteFile(at, tt.bundle, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der}), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", script, at, key)
		cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(folder, "node_modules"))
		if out, err := cmd.CombinedOutput(); (err == nil) != tt.good {
			t.Errorf("good %t: %v\n%s", tt.good, err, out)
		}
	}
}
