package emulate

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A proxy is a module proxy and checksum database in a folder, which the go
// command reads through file://. They have one module, golang.org/toolchain
// for this test's platform.
type proxy struct {
	t      *testing.T
	dir    string
	module string            // golang.org/toolchain@VERSION
	files  map[string][]byte // of the module, by path
}

// newProxy makes a proxy and has the go command use it, and nothing else.
func newProxy(t *testing.T, m *maker) *proxy {
	p := &proxy{t: t, dir: t.TempDir(), files: map[string][]byte{}}
	p.module = fmt.Sprintf("golang.org/toolchain@v0.0.1-%s.%s-%s", m.Version, m.platform.OS, m.platform.Architecture)
	modules := t.TempDir()
	t.Cleanup(func() {
		// The go command makes folders of modules read-only.
		_ = filepath.WalkDir(modules, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	t.Setenv("GOENV", "off")
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(p.dir))
	t.Setenv("GOMODCACHE", modules)
	t.Setenv("GOPATH", t.TempDir()) // where go keeps what it knows of databases
	t.Setenv("GOPRIVATE", "")
	t.Setenv("GONOSUMDB", "")
	t.Setenv("GONOPROXY", "")
	return p
}

// programs makes all executables of the module of one content: that of the
// program that runs this test is of the right version and architecture.
func (p *proxy) programs(m *maker, content []byte) *proxy {
	for _, path := range m.programs("") {
		p.files[filepath.ToSlash(path)] = content
	}
	p.files["src/README"] = nil
	return p
}

// serve writes the module, and a database that knows it by the sum, or by the
// true one if that is empty.
func (p *proxy) serve(sum string) {
	name, version, _ := strings.Cut(p.module, "@")
	goMod := []byte("module " + name + "\n")
	p.files["go.mod"] = goMod
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	var lines strings.Builder // what the sum is of (golang.org/x/mod/sumdb/dirhash, Hash1)
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.module + "/" + file, Method: zip.Store})
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := w.Write(p.files[file]); err != nil {
			p.t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(p.files[file]), p.module+"/"+file)
	}
	if err := z.Close(); err != nil {
		p.t.Fatal(err)
	}
	if sum == "" {
		sum = hash1(lines.String())
	}
	at := name + "/@v/" + version
	p.write(at+".info", []byte(`{"Version":"`+version+`"}`))
	p.write(at+".mod", goMod)
	p.write(at+".zip", archive.Bytes())

	// The database is a log of one record, signed by a key of our own
	// (https://go.dev/design/25530-sumdb, golang.org/x/mod/sumdb/note).
	const database = "sum.test"
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	key := append([]byte{1}, public...)
	hash := sha256.Sum256(append([]byte(database+"\n"), key...))
	p.t.Setenv("GOSUMDB", fmt.Sprintf("%s+%08x+%s", database, binary.BigEndian.Uint32(hash[:4]), base64.StdEncoding.EncodeToString(key)))
	record := fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", name, version, sum, hash1(fmt.Sprintf("%x  go.mod\n", sha256.Sum256(goMod))))
	leaf := sha256.Sum256(append([]byte{0}, record...))
	tree := fmt.Sprintf("go.sum database tree\n1\n%s\n", base64.StdEncoding.EncodeToString(leaf[:]))
	signature := append(slices.Clone(hash[:4]), ed25519.Sign(private, []byte(tree))...)
	signed := fmt.Sprintf("%s\n— %s %s\n", tree, database, base64.StdEncoding.EncodeToString(signature))
	at = "sumdb/" + database + "/"
	p.write(at+"supported", nil)
	p.write(at+"latest", []byte(signed))
	p.write(at+"lookup/"+p.module, []byte("0\n"+record+"\n"+signed))
	p.write(at+"tile/8/0/000.p/1", leaf[:])
}

func (p *proxy) write(name string, data []byte) {
	p.t.Helper()
	write(p.t, filepath.Join(p.dir, filepath.FromSlash(name)), data)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func hash1(lines string) string {
	sum := sha256.Sum256([]byte(lines))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// A toolchain that is not the one that the checksum database knows is no reason
// for another one, but to stop; no setting makes the go command skip the check.
func TestDownloadChecksum(t *testing.T) {
	for _, setting := range []string{"default", "GONOSUMDB=*", "GOPRIVATE=*", "GOINSECURE=*", "GOFLAGS=-insecure", "GIT_HTTP_USER_AGENT=proxy.golang.org"} {
		t.Run(setting, func(t *testing.T) {
			m, logged := newMaker(t)
			p := newProxy(t, m)
			p.programs(m, nil).serve(hash1("another"))
			if name, value, ok := strings.Cut(setting, "="); ok {
				t.Setenv(name, value)
			}
			if setting == "GOPRIVATE=*" {
				t.Setenv("GONOPROXY", "none") // go gets private modules from where they are
			}
			_, err := m.open(t.Context())
			if !errors.Is(err, ErrChecksum) {
				t.Fatalf("error %v, want ErrChecksum; log:\n%s", err, logged)
			}
			for _, want := range []string{p.module, "checksum mismatch", "SECURITY ERROR"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q doesn't say %q", err, want)
				}
			}
			if strings.Contains(logged.String(), "cross-build") {
				t.Errorf("log:\n%s", logged)
			}
			empty(t, m.Cache)
		})
	}
}

// Why a module can't be used is said, and the other way taken.
func TestDownloadRefused(t *testing.T) {
	tests := []struct {
		name, want string
		setup      func(*testing.T, *maker, *proxy)
	}{
		{"not found", "not exist|no such file|404", func(t *testing.T, m *maker, p *proxy) {}},
		{"offline", "GOPROXY=off", func(t *testing.T, m *maker, p *proxy) { t.Setenv("GOPROXY", "off") }},
		{"no database", "GOSUMDB=off", func(t *testing.T, m *maker, p *proxy) {
			p.programs(m, self(t)).serve("")
			t.Setenv("GOSUMDB", "off")
		}},
		{"not Go programs", "could not read Go build info|unrecognized file format", func(t *testing.T, m *maker, p *proxy) {
			p.programs(m, []byte("not a program")).serve("")
		}},
		{"no programs", "no such file", func(t *testing.T, m *maker, p *proxy) {
			p.files["src/README"] = nil
			p.serve("")
		}},
		{"patched", "src/fmt/print.go is not in it", func(t *testing.T, m *maker, p *proxy) {
			p.programs(m, self(t))
			p.files["src/fmt/print.go"] = []byte("package fmt\n")
			p.serve("")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, logged := newMaker(t)
			p := newProxy(t, m)
			test.setup(t, m, p)
			root := m.prepare(t)
			origin, err := m.download(t.Context(), root)
			if origin != "" || err != nil {
				t.Fatalf("%q, %v", origin, err)
			}
			said := slices.ContainsFunc(strings.Split(test.want, "|"), func(want string) bool { return strings.Contains(logged.String(), want) })
			if !said || !strings.Contains(logged.String(), "cross-built, because "+p.module) {
				t.Errorf("log doesn't say %q:\n%s", test.want, logged)
			}
		})
	}
}

func TestDownloadUnreleased(t *testing.T) {
	for _, version := range []string{"devel go1.27-0123456789 Sat Nov 21 10:00:00 2026", "go1.27-devel_0123456789", "go1.26.8 X:jsonv2", "go1.26.8-acme"} {
		m, logged := newMaker(t)
		m.Version = version
		if origin, err := m.download(t.Context(), t.TempDir()); origin != "" || err != nil {
			t.Errorf("%s: %q, %v", version, origin, err)
		}
		if strings.Contains(logged.String(), "asking") || !strings.Contains(logged.String(), version) {
			t.Errorf("log:\n%s", logged)
		}
	}
}
