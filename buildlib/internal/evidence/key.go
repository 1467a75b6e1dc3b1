package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Key signs and verifies, or verifies only.
type Key struct {
	signer crypto.Signer // nil: a public key
	public crypto.PublicKey
	der    []byte // of the public key (SubjectPublicKeyInfo)
}

// howToMake says how to make a suitable key.
const howToMake = "make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem"

// ParseKey reads a private key (PKCS#8) or a public one (PKIX) from PEM: ECDSA on
// the curve P-256, or Ed25519. Its errors reveal nothing of the key.
func ParseKey(data []byte) (*Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no key in PEM: want one that begins with -----BEGIN PRIVATE KEY-----: " + howToMake)
	}
	var parsed any
	var err error
	switch {
	case block.Type == "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case strings.HasPrefix(block.Type, "ENCRYPTED ") || block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted: store it without a password where only the signing job can read it; for a PKCS#8 key, openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW removes it")
	case block.Type == "EC PRIVATE KEY" || block.Type == "RSA PRIVATE KEY":
		return nil, fmt.Errorf("the key is not PKCS#8 (%s): openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW converts it", block.Type)
	default:
		return nil, fmt.Errorf("%.40q is not a key: want PRIVATE KEY or PUBLIC KEY: %s", block.Type, howToMake)
	}
	if err != nil {
		return nil, errors.New("the key can't be read: it is damaged, or of an unknown kind: " + howToMake)
	}
	k := &Key{}
	if s, ok := parsed.(crypto.Signer); ok {
		k.signer, k.public = s, s.Public()
	} else {
		k.public = parsed
	}
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key is on the curve %s: want P-256, or Ed25519: %s", p.Curve.Params().Name, howToMake)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("the key is %T: want ECDSA on P-256, or Ed25519: %s", k.public, howToMake)
	}
	k.der, err = x509.MarshalPKIXPublicKey(k.public)
	return k, err
}

// CanSign reports whether it is a private key.
func (k *Key) CanSign() bool { return k.signer != nil }

// Hint names the public key in bundles: as cosign, by its digest.
func (k *Key) Hint() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sign returns the same signature each time (for ECDSA, RFC 6979).
func (k *Key) sign(message []byte) ([]byte, error) {
	if k.signer == nil {
		return nil, errors.New("a public key can't sign: name the private one")
	}
	if _, ok := k.public.(ed25519.PublicKey); ok {
		return k.signer.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.signer.Sign(nil, sum[:], crypto.SHA256)
}

func (k *Key) verify(message, signature []byte) bool {
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(p, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(p, sum[:], signature)
	}
	return false
}
