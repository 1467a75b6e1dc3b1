package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// IdentityToken is what Username may log in with at a Tokens, in place of the
// password: what `docker login` keeps where a token server gives one.
const IdentityToken = "identity-of-the-builder-0a1b2c3d"

// Tokens is a token server (distribution's "Token Authentication"): it gives
// Username the right to do what he asks for, for a short time. Its tokens are
// signed with a key of its own.
type Tokens struct {
	Realm string // its URL

	key  *ecdsa.PrivateKey
	cert []byte // DER

	mu     sync.Mutex
	issued []string
}

const (
	tokenIssuer  = "multimage tests"
	tokenService = "registry of the tests"
)

// newTokens starts a token server that ends with the test.
func newTokens(t testing.TB) *Tokens {
	t.Helper()
	s := &Tokens{}
	var err error
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: tokenIssuer},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	s.cert, err = x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	must(t, err)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	// Clients may refuse a token server at a private address that isn't the
	// registry's own, so this one has a name.
	u, err := url.Parse(server.URL)
	must(t, err)
	s.Realm = "http://localhost:" + u.Port() + "/token"
	return s
}

// bundle is the certificate that a registry trusts, as PEM.
func (s *Tokens) bundle() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert})
}

// Issued are the tokens that were given out.
func (s *Tokens) Issued() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

// ServeHTTP implements both ways to get a token: GET with the password, and
// POST with an identity token.
func (s *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	known := user == Username && password == Password
	if r.Method == http.MethodPost {
		known = r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") == IdentityToken
	}
	if !known || r.FormValue("service") != tokenService {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token, err := s.issue(strings.Fields(strings.Join(r.Form["scope"], " ")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// issue signs a JSON web token for the scopes: TYPE:NAME:ACTION,...
func (s *Tokens) issue(scopes []string) (string, error) {
	rights := []access{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			return "", fmt.Errorf("scope %q has no actions", scope)
		}
		rights = append(rights, access{kind, rest[:i], strings.Split(rest[i+1:], ",")})
	}
	now := time.Now()
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert)}})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": tokenIssuer, "sub": Username, "aud": tokenService, "jti": fmt.Sprintf("%x", serial),
		"nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"access": rights,
	})
	if err != nil {
		return "", err
	}
	code := base64.RawURLEncoding.EncodeToString
	signed := code(header) + "." + code(claims)
	sum := sha256.Sum256([]byte(signed))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	a.FillBytes(signature[:32])
	b.FillBytes(signature[32:])
	token := signed + "." + code(signature)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = append(s.issued, token)
	return token, nil
}
