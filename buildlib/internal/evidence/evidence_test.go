package evidence

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/multimage/multimage/buildlib/internal/store"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// program compiles a main that needs one module as it is, one that another
// module stands in for, and one that a folder does.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": `module example.com/Main
go 1.26.0
require (
	example.com/folder v1.0.0
	example.com/old v1.0.0
	golang.org/x/sys v0.0.0
)
replace (
	example.com/folder => ./folder
	example.com/old => golang.org/x/sync SYNC
	golang.org/x/sys v0.0.0 => golang.org/x/sys SYS
)
`,
		"main.go":       "package main\nimport (\n\"example.com/folder\"\n\"example.com/old/errgroup\"\n\"golang.org/x/sys/cpu\"\n)\nfunc main() { println(folder.X, new(errgroup.Group), cpu.Initialized) }\n",
		"folder/go.mod": "module example.com/folder\n",
		"folder/x.go":   "package folder\nvar X = 1\n",
	} {
		for _, m := range []string{"sync", "sys"} {
			text = strings.ReplaceAll(text, strings.ToUpper(m), moduleVersionOf(t, "golang.org/x/"+m))
		}
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-o", "main", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GONOSUMDB=*", "GOFLAGS=", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "main")
}

func moduleVersionOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

const (
	apkDatabase = "P:musl\nV:1.2.5-r9\nA:aarch64\no:musl\nL:MIT\n\nP:busybox\nV:1.37.0-r12\nA:aarch64\n\n"
	debDatabase = "Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9)\nArchitecture: amd64\nVersion: 2.36-9+deb12u9\nDescription: x\n Version: no\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
)

// subject is an image with a base of alpine's shape, a file and a program.
func subject(t *testing.T) *Subject {
	t.Helper()
	img, main := testenv.Image(t, "arm64"), program(t)
	for by, l := range map[string]v1.Layer{
		"": testenv.Layer(t, testenv.File("etc/os-release", 0o644, "ID=alpine\nVERSION_ID=\"3.24.0\"\n"), testenv.File("lib/apk/db/installed", 0o644, apkDatabase), testenv.File("usr/bin/tool", 0o755, readFile(t, main)), testenv.File("usr/local/bin/main", 0o755, readFile(t, main))),
	} {
		img = with(t, img, by, l)
	}
	img = with(t, img, filesLayer, testenv.Layer(t, testenv.Dir("etc/", 0o755), testenv.File("etc/app.conf", 0o644, "x=1\n")))
	img = with(t, img, binaryLayer+"/usr/local/bin/main", testenv.Layer(t, testenv.File("usr/local/bin/main", 0o755, "stands for it")))
	cache, err := store.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	base := &Base{Name: "docker.io/library/alpine:3.24", Index: hash("1"), Child: hash("2")}
	source := Source{Platform: "linux/arm64", Image: img, Base: base, Binaries: []Executable{{"/usr/local/bin/main", main, hash("3")}}}
	c, err := Collect(t.Context(), cache, source)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Collect(t.Context(), cache, source)
	if a, b := encode(t, c), encode(t, again); err != nil || a != b {
		t.Errorf("kept contents differ: %v\n%s\n%s", err, a, b)
	}
	return &Subject{Name: "acme/main", Version: "v1.2.3", Digest: hash("9"), Created: time.Unix(1700000000, 0), Images: []Contents{c}, Source: "https://example.com/main", Revision: strings.Repeat("ab", 20), Builder: "https://example.com/builder"}
}

func with(t *testing.T, img v1.Image, by string, l v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: by}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func hash(digit string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)} }

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What a reader finds in both formats: package URLs.
func TestBillOfMaterials(t *testing.T) {
	s := subject(t)
	sync, sys := moduleVersionOf(t, "golang.org/x/sync"), moduleVersionOf(t, "golang.org/x/sys")
	c := s.Images[0]
	want := []string{
		"pkg:oci/main@" + escape(s.Digest.String(), ""),
		"pkg:oci/main@" + escape(c.Digest.String(), "") + "?arch=arm64",
		"pkg:oci/alpine@" + escape(hash("2").String(), "") + "?repository_url=docker.io/library/alpine",
		"pkg:apk/alpine/busybox@1.37.0-r12?arch=aarch64&distro=alpine-3.24.0",
		"pkg:apk/alpine/musl@1.2.5-r9?arch=aarch64&distro=alpine-3.24.0",
		"pkg:golang/example.com/Main@v1.2.3",
		"pkg:golang/example.com/Main", // in the base, of no known version
		"pkg:golang/stdlib@" + strings.TrimPrefix(c.Binaries[0].Go, "go"),
		"pkg:golang/example.com/folder",
		"pkg:golang/golang.org/x/sync@" + sync,
		"pkg:golang/golang.org/x/sys@" + sys,
	}
	slices.Sort(want)
	for kind, key := range map[string]string{KindSBOM: `"referenceLocator": "`, KindCycloneDX: `"purl": "`} {
		d, err := NewDocument(kind, s)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, part := range strings.Split(strings.ReplaceAll(string(d.Data), `\u0026`, "&"), key)[1:] {
			got = append(got, part[:strings.Index(part, `"`)])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", kind, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		if again, _ := NewDocument(kind, s); !bytes.Equal(again.Data, d.Data) {
			t.Errorf("%s: other bytes the second time", kind)
		}
		for _, text := range []string{"go.sum h1:", "replaced by a folder: example.com/folder@v1.0.0", "replaces example.com/old@v1.0.0", "/etc/app.conf", "/usr/bin/tool", "in the base"} {
			if !bytes.Contains(d.Data, []byte(text)) {
				t.Errorf("%s: lacks %q", kind, text)
			}
		}
	}
}

// What trivy looks for: the distribution by an ID of SPDX, source packages by a
// phrase, and Go programs elsewhere than among the distribution's packages.
func TestBillOfMaterialsForTrivy(t *testing.T) {
	s := subject(t)
	data, err := SPDX(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`"SPDXID": "SPDXRef-OperatingSystem-alpine-`, `"sourceInfo": "built package from: musl 1.2.5-r9"`} {
		if !bytes.Contains(data, []byte(text)) {
			t.Errorf("lacks %s", text)
		}
	}
	for _, e := range newGraph(s).edges {
		if strings.HasPrefix(e.from, kindSystem) && !strings.HasPrefix(e.to, kindPackage) {
			t.Errorf("the distribution has %s", e.to)
		}
	}
	deb := stanzas([]byte(debDatabase), ": ", debPackage)
	if len(deb) != 1 || deb[0].Source != "glibc 2.36-9" {
		t.Errorf("dpkg's packages: %+v", deb)
	}
}

func TestProvenance(t *testing.T) {
	s := subject(t)
	data, err := Provenance(s)
	if err != nil {
		t.Fatal(err)
	}
	st, err := ReadStatement(data, s.Images[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`"gitCommit":"` + s.Revision, `"dirHash":"`, `"uri":"docker.io/library/alpine:3.24"`, `"id":"https://example.com/builder"`} {
		if !strings.Contains(string(st.Predicate), text) {
			t.Errorf("lacks %s:\n%s", text, st.Predicate)
		}
	}
	if _, err := ReadStatement(data, hash("5")); err == nil {
		t.Error("a statement about something else is believed")
	}
}

// What two programs' build infos say, where their code differs.
func TestBuildInfoDiffers(t *testing.T) {
	b, err := readBinary(Executable{Path: "/x", Source: program(t)})
	if err != nil {
		t.Fatal(err)
	}
	sync := "golang.org/x/sync"
	at := slices.IndexFunc(b.Modules, func(m Module) bool { return m.Path == sync })
	for want, change := range map[string]func(*Binary){
		"":                                   func(*Binary) {},
		"Go " + b.Go + " here, go1.20 there": func(b *Binary) { b.Go = "go1.20" },
		"module " + sync + " " + b.Modules[at].Version + " here, v0.1.0 there":                                  func(b *Binary) { b.Modules[at].Version = "v0.1.0" },
		"module " + sync + " " + b.Modules[at].Version + " only here":                                           func(b *Binary) { b.Modules = slices.Delete(b.Modules, at, at+1) },
		"module example.com/more v1.0.0 only there":                                                             func(b *Binary) { b.Modules = append(b.Modules, Module{Path: "example.com/more", Version: "v1.0.0"}) },
		"module " + sync + " " + b.Modules[at].Version + `: sum "` + b.Modules[at].Sum + `" here, "h1:x" there`: func(b *Binary) { b.Modules[at].Sum = "h1:x" },
		`CGO_ENABLED "0" here, "1" there`: func(b *Binary) {
			b.Settings[slices.Index(b.Settings, "CGO_ENABLED=0")] = "CGO_ENABLED=1"
		},
		`-buildmode "exe" here, "" there`: func(b *Binary) { b.Settings = nil },
	} {
		other := b
		other.Modules, other.Settings = slices.Clone(b.Modules), slices.Clone(b.Settings)
		change(&other)
		if got := b.difference(&other); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSystem(t *testing.T) {
	at := func(name, text string) testenv.Entry { return testenv.File(name, 0o644, text) }
	tool, elf := readFile(t, program(t)), "\x7fELF, and cut off"
	for _, tt := range []struct {
		name   string
		layers [][]testenv.Entry
		want   string // packages, or why it is incomplete
	}{
		{"none", nil, ""},
		{"apk", [][]testenv.Entry{{at("./lib/apk/db/installed", apkDatabase)}}, "busybox musl"},
		{"apk on a merged /usr", [][]testenv.Entry{{at("usr/lib/apk/db/installed", apkDatabase)}}, "busybox musl"},
		{"dpkg", [][]testenv.Entry{{at("var/lib/dpkg/status", debDatabase)}}, "libc6"},
		{"the upper one counts", [][]testenv.Entry{{at("var/lib/dpkg/status", "Package: a\nVersion: 1\n")}, {at("var/lib/dpkg/status", debDatabase)}}, "libc6"},
		{"distroless", [][]testenv.Entry{{at("var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2\n"), at("var/lib/dpkg/status.d/libc6.md5sums", "0 x\n")}}, "libc6"},
		{"whiteout", [][]testenv.Entry{{at("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n"), at("var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n")}, {at("var/lib/dpkg/status.d/.wh.a", "")}}, "b"},
		{"opaque root", [][]testenv.Entry{{at("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n")}, {at("var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n"), at(".wh..wh..opq", "")}}, "b"},
		{"opaque folder", [][]testenv.Entry{{at("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n")}, {at("var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n"), at("var/lib/dpkg/status.d/.wh..wh..opq", "")}}, "b"},
		{"rpm", [][]testenv.Entry{{at("var/lib/rpm/rpmdb.sqlite", "")}}, "rpm's database is not read"},
		{"a Go program", [][]testenv.Entry{{at("var/lib/dpkg/status", debDatabase), at("app", tool)}}, "libc6 /app"},
		{"one that was replaced", [][]testenv.Entry{{at("var/lib/dpkg/status", debDatabase), at("app", tool), at("x/app", tool)}, {at("app", "#!/bin/sh\n"), at(".wh.x", "")}}, "libc6"},
		{"a package's program", [][]testenv.Entry{{at("var/lib/dpkg/status", debDatabase), at("var/lib/dpkg/info/libc6.list", "/.\n/bin\n/bin/ldd\n"), at("usr/bin/ldd", elf)}}, "libc6"},
		{"nobody's program", [][]testenv.Entry{{at("var/lib/dpkg/status", debDatabase), at("var/lib/dpkg/info/libc6.list", "/bin/ldd\n"), at("usr/local/bin/node", elf), at("bin/ldd", elf)}},
			"libc6 neither a package nor build info accounts for /usr/local/bin/node"},
		{"apk's program", [][]testenv.Entry{{at("lib/apk/db/installed", "P:busybox\nV:1\nF:bin\nR:busybox\nF:lib\nR:libc.so\n\n"), at("bin/busybox", elf), at("lib/libc.so", elf), at("a", elf), at("b", elf), at("c", elf), at("d", elf)}},
			"busybox neither a package nor build info accounts for /a, /b, /c and 1 more"},
		{"distroless program", [][]testenv.Entry{{at("var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2\n"), at("var/lib/dpkg/status.d/libc6.md5sums", "0  usr/bin/ldd\n"), at("usr/bin/ldd", elf)}}, "libc6"},
		{"unknown", [][]testenv.Entry{{at("bin/sh", "")}}, "the base has no known package database (apk's, dpkg's)"},
	} {
		var layers []layer
		for _, entries := range tt.layers {
			layers = append(layers, layer{Layer: testenv.Layer(t, entries...)})
		}
		s, err := readSystem(t.Context(), layers)
		var names []string
		for _, p := range s.Packages {
			names = append(names, p.Name)
		}
		for _, b := range s.Programs {
			names = append(names, b.Path)
		}
		if s.Incomplete != "" {
			names = append(names, s.Incomplete)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// cyclonedx-gomod is the Go module's own reader of build infos: it finds the same
// modules, of programs with and without replace directives, vendored or not.
func TestModulesAsOthersReadThem(t *testing.T) {
	tool, err := exec.LookPath("cyclonedx-gomod")
	if err != nil {
		testenv.Missing(t, "cyclonedx-gomod", "it isn't in PATH: go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0")
	}
	self, err := os.Executable() // of many modules, with a main that has no version
	if err != nil {
		t.Fatal(err)
	}
	plain := program(t)
	vendored := filepath.Join(filepath.Dir(plain), "vendored")
	for _, args := range [][]string{{"mod", "vendor"}, {"build", "-mod=vendor", "-trimpath", "-o", vendored, "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = filepath.Dir(plain), append(os.Environ(), "GOPROXY=off", "GONOSUMDB=*", "GOFLAGS=-mod=mod", "CGO_ENABLED=0", "GOWORK=off")
		if args[0] == "build" {
			cmd.Env = append(cmd.Env, "GOFLAGS=")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	for _, at := range []string{plain, vendored, self} {
		out, err := exec.Command(tool, "bin", "-json", "-std", at).Output()
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Components []cdxComponent }
		if err := json.Unmarshal(out, &doc); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, c := range doc.Components {
			p, _, _ := strings.Cut(c.Purl, "?")
			if p == "pkg:golang/./folder@(devel)" { // a folder's name is no module's
				p = "pkg:golang/example.com/folder"
			}
			want = append(want, strings.ReplaceAll(p, "std@go", "stdlib@"))
		}
		b, err := readBinary(Executable{Path: "/x", Source: at})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range append([]Module{b.stdlib()}, b.Modules...) {
			got = append(got, modulePurl(m))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", at, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// What bills of materials can't know they say, each in its way.
func TestIncomplete(t *testing.T) {
	s := subject(t)
	s.Digest = s.Images[0].Digest
	for want, change := range map[string]func(*Contents){
		"rpm's database is not read":        func(c *Contents) { c.System.Incomplete = "rpm's database is not read" },
		"the program has no build info":     func(c *Contents) { c.Binaries[0].Package = "" },
		"the program was built without mod": func(c *Contents) { c.System.Programs[0].Main, c.System.Programs[0].Modules = Module{}, nil },
	} {
		changed := *s
		c := s.Images[0]
		c.Binaries, c.System.Programs = slices.Clone(c.Binaries), slices.Clone(c.System.Programs)
		change(&c)
		changed.Images = []Contents{c}
		for kind, declared := range map[string]string{KindSBOM: `"relatedSpdxElement": "NOASSERTION"`, KindCycloneDX: `"aggregate": "incomplete"`} {
			whole, err := NewDocument(kind, s)
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDocument(kind, &changed)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(whole.Data, []byte(declared)) || !bytes.Contains(d.Data, []byte(declared)) || !bytes.Contains(d.Data, []byte(want)) {
				t.Errorf("%s: %s is not declared, or is where nothing lacks:\n%s", kind, want, d.Data)
			}
		}
	}
}

// TestDocuments writes documents for testdata/evidence/run, which validates them.
func TestDocuments(t *testing.T) {
	dir := os.Getenv("TEST_DOCUMENTS")
	if dir == "" {
		t.Skip("TEST_DOCUMENTS names no folder")
	}
	s := subject(t)
	child := *s
	child.Digest = s.Images[0].Digest
	unknown := child
	unknown.Images = []Contents{{Platform: "linux/amd64", Digest: child.Digest, System: System{Incomplete: "rpm's database is not read"}, Binaries: []Binary{{Path: "/x", Digest: hash("7")}}}}
	for name, s := range map[string]*Subject{"index": s, "image": &child, "unknown": &unknown} {
		for _, kind := range []string{KindSBOM, KindCycloneDX} {
			d, err := NewDocument(kind, s)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+d.Suffix), d.Data, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
