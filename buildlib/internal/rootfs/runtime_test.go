package rootfs

import (
	"archive/tar"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/filetree"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func zoneinfo(t testing.TB) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("go: ", err)
	}
	p := filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip")
	if _, err := os.Stat(p); err != nil {
		t.Skip(err)
	}
	return p
}

func TestRoots(t *testing.T) {
	text, err := roots()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificates")
	}
	var plain, constrained int
	for r := range bundle.Roots() {
		if r.Constraint != nil {
			constrained++
		} else {
			plain++
		}
	}
	if got := strings.Count(string(text), "BEGIN CERTIFICATE"); got != plain || constrained == 0 {
		t.Errorf("%d certificates, want %d; %d have constraints", got, plain, constrained)
	}
	if !strings.Contains(string(text), "\n# CN=ISRG Root X1,") {
		t.Error("no subjects above the certificates")
	}
}

func TestRuntimeFiles(t *testing.T) {
	a := newBuilder(t)
	s := Spec{CACerts: true, TZData: true, ZoneInfo: zoneinfo(t)}
	img := mustBuild(t, a, s)
	list := listing(t, img)[0]
	for _, want := range []string{
		"0 0644 0:0 etc/ssl/certs/ca-certificates.crt", "5 0755 0:0 usr/share/zoneinfo/Europe/",
		"0 0644 0:0 usr/share/zoneinfo/Europe/Berlin", "0 0644 0:0 usr/share/zoneinfo/UTC", "5 1777 0:0 tmp/",
	} {
		if !slices.Contains(list, want) {
			t.Errorf("no %s", want)
		}
	}
	if !strings.HasPrefix(contentOf(t, img, "/usr/share/zoneinfo/Europe/Berlin"), "TZif") {
		t.Error("Berlin is not a time zone")
	}
}

func TestBaseKeepsItsOwnRootsAndZones(t *testing.T) {
	tree := debianTree()
	dir, file := filetree.Node{Type: tar.TypeDir, Mode: 0o755}, filetree.Node{Type: tar.TypeReg, Mode: 0o644}
	for p, n := range map[string]filetree.Node{
		"/etc/pki": dir, "/etc/pki/tls": dir, "/etc/pki/tls/certs": dir, "/etc/pki/tls/certs/ca-bundle.crt": file,
		"/usr/share": dir, "/usr/share/zoneinfo": dir, "/usr/share/zoneinfo/Europe": dir,
	} {
		tree.Nodes[p] = n
	}
	img := mustBuild(t, newBuilder(t), Spec{Base: tree, CACerts: true, TZData: true, ZoneInfo: "/nowhere"})
	if layers := img.Layers; len(layers) != 0 {
		t.Errorf("added %q", listing(t, img))
	}
}

func TestZonesRefuses(t *testing.T) {
	p := filepath.Join(t.TempDir(), "zoneinfo.zip")
	if err := os.WriteFile(p, []byte("no zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	buildError(t, newBuilder(t), Spec{TZData: true, ZoneInfo: p}, "time zones: "+p+": zip: not a valid zip file")
}
