package rootfs

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// certFiles are where systems keep their roots, in the order in which Go programs look
// for them. A base that has one of them keeps it: it may have a company's own roots.
// Otherwise the first is added.
var certFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS
	"/etc/ssl/cert.pem",                                 // Alpine's link
}

const zoneinfoPath = "/usr/share/zoneinfo"

// addRuntime adds to the current layer what a static Go program needs of a system, and
// the folders of the image's configuration.
func (b *Builder) addRuntime(to *fileSystem, s *Spec, user account) error {
	if s.CACerts {
		if err := addRoots(to); err != nil {
			return fmt.Errorf("certificates: %w", err)
		}
	}
	if s.TZData {
		if err := b.addZones(to, s.ZoneInfo); err != nil {
			return fmt.Errorf("time zones: %w", err)
		}
	}
	if s.Base == nil {
		if err := to.mkdir(directory("/tmp", 0o1777, 0, 0)); err != nil {
			return err
		}
	}
	if s.WorkDir != "" {
		if err := to.mkdir(directory(s.WorkDir, 0o755, user.uid, user.gid)); err != nil {
			return fmt.Errorf("working directory: %w", err)
		}
	}
	// A new volume gets the owner of the image's folder.
	for _, v := range s.Volumes {
		if err := to.mkdir(directory(v, 0o755, user.uid, user.gid)); err != nil {
			return fmt.Errorf("volume: %w", err)
		}
	}
	return nil
}

func addRoots(to *fileSystem) error {
	for _, p := range certFiles {
		if _, _, ok := to.tree.Lookup(p); ok {
			return nil
		}
	}
	text, err := roots()
	if err != nil {
		return err
	}
	return to.put(textFile(certFiles[0], 0o644, text, "golang.org/x/crypto/x509roots/fallback"), "")
}

// roots returns Mozilla's roots as PEM, each below its subject. Roots with constraints
// are left out: PEM can't hold the constraints.
var roots = sync.OnceValues(func() ([]byte, error) {
	var certs []*x509.Certificate
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	slices.SortFunc(certs, func(a, b *x509.Certificate) int {
		return cmp.Or(cmp.Compare(a.Subject.String(), b.Subject.String()), bytes.Compare(a.Raw, b.Raw))
	})
	var text bytes.Buffer
	for _, cert := range certs {
		fmt.Fprintf(&text, "# %s\n", cert.Subject)
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
})

// addZones adds the time zones of zoneinfo.zip as the files that Go and the C
// libraries look for. A base that has them keeps its own.
func (b *Builder) addZones(to *fileSystem, zipFile string) error {
	// Some bases have UTC alone; one with Europe has all.
	if _, _, ok := to.tree.Lookup(zoneinfoPath + "/Europe"); ok {
		return nil
	}
	zones, err := b.zones(zipFile)
	if err != nil {
		return err
	}
	for _, c := range zones {
		if err := to.put(c, ""); err != nil {
			return err
		}
	}
	return nil
}

const maxZones = 16 << 20 // bytes, of the zip and of what it holds; 400 KB is usual

// zones returns the files of the zip. All images of a run share them.
func (b *Builder) zones(zipFile string) ([]change, error) {
	read, _ := b.zips.LoadOrStore(zipFile, sync.OnceValues(func() ([]change, error) { return readZones(zipFile) }))
	return read.(func() ([]change, error))()
}

func readZones(zipFile string) ([]change, error) {
	f, err := os.Open(zipFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: this Go was repackaged without it; install Go from https://go.dev/dl, or use a base that has time zones of its own, without TZData", zipFile)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxZones))
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", zipFile, err)
	}
	var list []change
	left := int64(maxZones)
	for _, e := range z.File {
		if e.Mode().IsDir() {
			continue
		}
		if !fs.ValidPath(e.Name) {
			return nil, fmt.Errorf("%s: holds %q, which is not a valid path", zipFile, e.Name)
		}
		r, err := e.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", zipFile, e.Name, err)
		}
		data, err := io.ReadAll(io.LimitReader(r, left))
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", zipFile, e.Name, err)
		}
		if left -= int64(len(data)); left <= 0 {
			return nil, fmt.Errorf("%s: holds more than %d bytes", zipFile, maxZones)
		}
		list = append(list, textFile(path.Join(zoneinfoPath, e.Name), 0o644, data, zipFile))
	}
	return list, nil
}
