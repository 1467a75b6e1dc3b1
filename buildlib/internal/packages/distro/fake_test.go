package distro

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/store"
)

// entry is one of a made package's files.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(body))}, body}
}

func program(name, body string) entry {
	e := file(name, body)
	e.Mode = 0o755
	return e
}

// pack makes a gzip stream of a tar archive, with or without its end.
func pack(t *testing.T, end bool, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if end {
		err = w.Close()
	} else {
		err = w.Flush()
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// repository is a server of made packages.
type repository struct {
	t     *testing.T
	files map[string][]byte
	url   string
	base  fstest.MapFS
	index strings.Builder
	key   *rsa.PrivateKey
}

func newRepository(t *testing.T) *repository {
	r := &repository{t: t, files: map[string][]byte{}, base: fstest.MapFS{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		data, ok := r.files[q.URL.Path]
		if !ok {
			http.NotFound(w, q)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *repository) set(name, text string) { r.base[name] = &fstest.MapFile{Data: []byte(text)} }

func (r *repository) client() *packages.Client {
	r.t.Helper()
	cache, err := store.Open(r.t.Context(), r.t.TempDir(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { cache.Close() })
	return &packages.Client{Cache: cache}
}

// install chooses and installs, and returns the paths that are set and the
// contents of files.
func (r *repository) install(client *packages.Client, wanted, ignore []string) (map[string]packages.Entry, map[string]string, error) {
	r.t.Helper()
	m, err := Open(r.base, "amd64", "")
	if err != nil {
		return nil, nil, err
	}
	list, err := m.Choose(r.t.Context(), client, wanted)
	if err != nil {
		return nil, nil, err
	}
	return r.unpack(client, m, list, wanted, ignore)
}

func (r *repository) unpack(client *packages.Client, m Manager, list []packages.Package, wanted, ignore []string) (map[string]packages.Entry, map[string]string, error) {
	r.t.Helper()
	c, err := packages.NewContents(r.t.TempDir())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := m.Install(r.t.Context(), client, list, wanted, ignore, c); err != nil {
		return nil, nil, err
	}
	entries, texts := map[string]packages.Entry{}, map[string]string{}
	for _, e := range c.Entries() {
		entries[e.Path] = e
		if e.Type == tar.TypeReg {
			data, err := io.ReadAll(c.Open(e))
			if err != nil {
				r.t.Fatal(err)
			}
			texts[e.Path] = string(data)
		}
	}
	return entries, texts, nil
}

// newDebian is an empty Debian with an apt source that needs no signature.
func newDebian(t *testing.T) *repository {
	r := newRepository(t)
	r.set(statusPath, "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\nPackage: old\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\nConffiles:\n /etc/d 1\n /etc/a 2\n /etc/c 3\n /etc/b 4\n")
	r.set("var/lib/dpkg/info/old.list", "/.\n/usr/bin/old\n/usr/bin/gone\n")
	r.set("etc/apt/sources.list", "deb [trusted=yes] "+r.url+" stable main\n")
	r.set("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	r.set("etc/group", "root:x:0:\nnogroup:x:65534:\n")
	return r
}

// deb adds a package. Fields are further lines of its control file.
func (r *repository) deb(name, version, fields string, scripts map[string]string, data ...entry) {
	r.t.Helper()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nDescription: made\n%s", name, version, fields)
	members := []entry{file("control", control)}
	for script, text := range scripts {
		members = append(members, program(script, text))
	}
	var ar bytes.Buffer
	ar.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", pack(r.t, true, members...)}, {"data.tar.gz", pack(r.t, true, data...)}} {
		fmt.Fprintf(&ar, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))
		ar.Write(m.data)
		if len(m.data)%2 == 1 {
			ar.WriteByte('\n')
		}
	}
	path := fmt.Sprintf("/pool/%s_%s.deb", name, version)
	sum := sha256.Sum256(ar.Bytes())
	r.files[path] = ar.Bytes()
	fmt.Fprintf(&r.index, "%sFilename: %s\nSize: %d\nSHA256: %s\n\n", control, path[1:], ar.Len(), hex.EncodeToString(sum[:]))
	list := sha256.Sum256([]byte(r.index.String()))
	r.files["/dists/stable/main/binary-amd64/Packages"] = []byte(r.index.String())
	r.files["/dists/stable/InRelease"] = fmt.Appendf(nil, "Suite: stable\nSHA256:\n %s %d main/binary-amd64/Packages\n", hex.EncodeToString(list[:]), r.index.Len())
}

// newAlpine is an empty Alpine whose repository is signed by a key of its own.
func newAlpine(t *testing.T) *repository {
	r := newRepository(t)
	var err error
	if r.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&r.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	r.set("etc/apk/keys/test.rsa.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	r.set("etc/apk/repositories", r.url+"/main\n")
	r.set("etc/apk/world", "busybox\n")
	r.set("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	r.set("etc/group", "root:x:0:\nshadow:x:42:\n")
	r.set("lib/apk/db/installed", "C:Q1abc=\nP:busybox\nV:1.36.1-r2\nA:x86_64\np:/bin/sh cmd:sh=1.36.1-r2\nF:bin\nR:busybox\na:0:0:755\nZ:Q1abc=\n\n")
	return r
}

// apk adds a package. Info are further lines of its .PKGINFO, lines those of the
// index for it.
func (r *repository) apk(name, version, info, lines string, scripts map[string]string, data ...entry) {
	r.t.Helper()
	content := pack(r.t, true, data...)
	sum := sha256.Sum256(content)
	members := []entry{file(".PKGINFO", fmt.Sprintf("pkgname = %s\npkgver = %s\narch = x86_64\n%sdatahash = %s\n", name, version, info, hex.EncodeToString(sum[:])))}
	for script, text := range scripts {
		members = append(members, program(script, text))
	}
	control := pack(r.t, false, members...)
	whole := append(append(pack(r.t, false, file(".SIGN.RSA.test.rsa.pub", "not looked at")), control...), content...)
	r.files[fmt.Sprintf("/main/x86_64/%s-%s.apk", name, version)] = whole
	fmt.Fprintf(&r.index, "C:%s\nP:%s\nV:%s\nA:x86_64\nS:%d\n%s\n", q1(sha1.Sum(control)), name, version, len(whole), lines)
	r.sign()
}

func (r *repository) sign() {
	r.t.Helper()
	list := pack(r.t, true, file("DESCRIPTION", "test"), file("APKINDEX", r.index.String()))
	sum := sha1.Sum(list)
	signature, err := rsa.SignPKCS1v15(rand.Reader, r.key, crypto.SHA1, sum[:])
	if err != nil {
		r.t.Fatal(err)
	}
	r.files["/main/x86_64/APKINDEX.tar.gz"] = append(pack(r.t, false, file(".SIGN.RSA.test.rsa.pub", string(signature))), list...)
}

// names are the packages in apk's database.
func names(installed string) []string {
	var all []string
	for line := range strings.Lines(installed) {
		if name, ok := strings.CutPrefix(line, "P:"); ok {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}
