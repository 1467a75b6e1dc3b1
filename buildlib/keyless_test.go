package buildlib

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/multimage/multimage/buildlib/internal/evidence"
)

// standInCosign puts a program into PATH that notes how it is called and keeps
// what it is to attest, and that fails where a file says so.
func standInCosign(t *testing.T) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for cosign is a shell script")
	}
	dir = t.TempDir()
	at := filepath.Join(dir, "cosign")
	write(t, at, fmt.Sprintf(`#!/bin/sh
cd %q || exit
echo "$*" >>calls
for argument; do
  case $before in --predicate) predicate=$argument ;; --type) cp "$predicate" "$argument" ;; esac
  before=$argument
done
if [ -e "fail-$1" ]; then
  echo "the token $SIGSTORE_ID_TOKEN is of https://user:hunter2@issuer.example" >&2
  exit 1
fi
`, dir))
	if err := os.Chmod(at, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

// manifestOnly is a manifest that is pushed as it is.
type manifestOnly []byte

func (m manifestOnly) RawManifest() ([]byte, error)        { return m, nil }
func (m manifestOnly) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// attachBundle attaches a bundle about an index, as cosign leaves it: with the
// certificate of an identity or, byKey, as we do.
func attachBundle(t *testing.T, reg *askedRegistry, index v1.Hash, predicateType string, byKey bool) {
	t.Helper()
	k, err := evidence.ParseKey([]byte(read(t, newKey(t))))
	if err != nil {
		t.Fatal(err)
	}
	st, err := evidence.NewStatement(&evidence.Subject{Digest: index}, predicateType, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := evidence.Sign(k, st)
	if err != nil {
		t.Fatal(err)
	}
	if !byKey {
		data = bytes.Replace(data, []byte(`"publicKey":{"hint"`), []byte(`"certificate":{"rawBytes"`), 1)
	}
	d := reg.digest(t, "server", index)
	head, err := remote.Head(d)
	if err != nil {
		t.Fatal(err)
	}
	a, err := evidence.NewArtifact(evidence.Document{MediaType: evidence.BundleType, PredicateType: predicateType, Data: data}, *head, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range [][]byte{data, evidence.EmptyConfig} {
		if err := remote.WriteLayer(d.Context(), static.NewLayer(blob, types.OCILayer)); err != nil {
			t.Fatal(err)
		}
	}
	if err := remote.Put(d.Context().Digest(a.Descriptor.Digest.String()), manifestOnly(a.Manifest)); err != nil {
		t.Fatal(err)
	}
}

func TestKeyless(t *testing.T) {
	dir := project(t, oneMain())
	t.Setenv("SIGSTORE_ID_TOKEN", "a.made-up.token")
	cosign := standInCosign(t)
	reg := newAskedRegistry(t, true)
	p := Project{Version: "1.0", Registries: []string{reg.host}, Platforms: []string{"linux/amd64"}, Evidence: evidence.Kinds, Sign: "keyless"}
	publish := func() (v1.Hash, error) {
		t.Helper()
		if err := os.Remove(filepath.Join(cosign, "calls")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		list, err := plan(t, dir, p, Overrides{}).Manifest(t.Context())
		if err != nil {
			return v1.Hash{}, err
		}
		return list[0].Digest, nil
	}
	calls := func() []string {
		data, err := os.ReadFile(filepath.Join(cosign, "calls"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		// Where predicates lie changes.
		var list []string
		for line := range strings.Lines(string(data)) {
			args := strings.Fields(line)
			if i := slices.Index(args, "--predicate"); i >= 0 {
				args = slices.Concat(args[:i+1], []string{"FILE"}, args[len(args)-3:])
			}
			list = append(list, strings.Join(args, " "))
		}
		return list
	}

	// One that fails moves no tag, and shows no secret.
	write(t, filepath.Join(cosign, "fail-attest"), "")
	_, err := publish()
	if err == nil || !strings.Contains(err.Error(), "cosign attest: exit status 1: the token *** is of https://***@issuer.example") {
		t.Errorf("a failing cosign: %v", err)
	}
	if err := os.Remove(filepath.Join(cosign, "fail-attest")); err != nil {
		t.Fatal(err)
	}
	if tags, err := remote.List(reg.digest(t, "server", v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}).Context()); err == nil && len(tags) > 0 {
		t.Errorf("tags %q, though nothing is signed", tags)
	}

	reg.take()
	index, err := publish()
	if err != nil {
		t.Fatal(err)
	}
	ref := reg.host + "/server@" + index.String()
	attest := func(kind string) string { return "attest --yes --predicate FILE --type " + kind + " " + ref }
	want := []string{"sign --yes --recursive " + ref, attest("spdxjson"), attest("cyclonedx"), attest("slsaprovenance1")}
	if got := calls(); !slices.Equal(got, want) {
		t.Errorf("cosign was called with\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for kind, key := range map[string]string{"spdxjson": "spdxVersion", "cyclonedx": "bomFormat", "slsaprovenance1": "buildDefinition"} {
		var predicate map[string]any
		if err := json.Unmarshal([]byte(read(t, filepath.Join(cosign, kind))), &predicate); err != nil || predicate[key] == nil {
			t.Errorf("%s: the predicate lacks %s: %v", kind, key, err)
		}
	}
	if asked := reg.take(); asked[len(asked)-1] != "GET /v2/server/manifests/1.0" || !slices.Contains(asked, "PUT /v2/server/manifests/1.0") {
		t.Errorf("the tag wasn't written: %q", asked)
	}

	// What keys sign doesn't count. What an identity has signed isn't again, which
	// may be a part.
	attachBundle(t, reg, index, evidence.SignatureType, true)
	attachBundle(t, reg, index, evidence.SPDXType, false)
	if _, err := publish(); err != nil {
		t.Fatal(err)
	}
	if got := calls(); !slices.Equal(got, slices.Delete(slices.Clone(want), 1, 2)) {
		t.Errorf("after a part, cosign was called with %q", got)
	}
	for _, predicateType := range []string{evidence.SignatureType, evidence.CycloneDXType, evidence.ProvenanceType} {
		attachBundle(t, reg, index, predicateType, false)
	}
	if _, err := publish(); err != nil {
		t.Fatal(err)
	}
	if got := calls(); got != nil {
		t.Errorf("all is signed, and cosign is called with %q", got)
	}

	// Without what it takes nothing is built, and nothing asked.
	reg.take()
	for _, variable := range identities {
		t.Setenv(variable, "")
	}
	if _, err := publish(); err == nil || !strings.Contains(err.Error(), "keyless: there is no identity here") {
		t.Errorf("no identity: %v", err)
	}
	t.Setenv("SIGSTORE_ID_TOKEN", "a.made-up.token")
	if err := os.Remove(filepath.Join(cosign, "cosign")); err != nil {
		t.Fatal(err)
	}
	goOnly := t.TempDir()
	for _, program := range []string{"go", "git"} {
		at, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(at, filepath.Join(goOnly, program))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", goOnly)
	if _, err := publish(); err == nil || !strings.Contains(err.Error(), "the program cosign isn't in PATH") {
		t.Errorf("no cosign: %v", err)
	}
	if asked := reg.take(); len(asked) > 0 {
		t.Errorf("asked all the same: %q", asked)
	}
}
