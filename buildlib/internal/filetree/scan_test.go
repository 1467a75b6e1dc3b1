package filetree

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

func dir(name string) testenv.Entry           { return testenv.Dir(name+"/", 0o755) }
func file(name, content string) testenv.Entry { return testenv.File(name, 0o644, content) }

var link, hard = testenv.Symlink, testenv.HardLink

// scanned scans uncompressed layers.
func scanned(limits scanLimits, layers ...[]byte) (*Tree, error) {
	var diffIDs []v1.Hash
	for _, l := range layers {
		diffIDs = append(diffIDs, testenv.SHA256(l))
	}
	return scanWithin(context.Background(), limits, diffIDs, func(i int) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layers[i])), nil
	})
}

// nodes are what the layers of a tree leave, by path.
func nodes(t *Tree) map[string]Node {
	all := map[string]Node{}
	var walk func(string, *entry)
	walk = func(dir string, e *entry) {
		for name, kid := range e.kids {
			all[dir+"/"+name] = kid.node()
			walk(dir+"/"+name, kid)
		}
	}
	if t.root != nil {
		walk("", t.root)
	}
	return all
}

func paths(t *Tree) string { return strings.Join(slices.Sorted(maps.Keys(nodes(t))), " ") }

func TestScanAppliesLayers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]testenv.Entry
		want   string
	}{
		{"parents are implied", [][]testenv.Entry{{file("a/b/c", "")}}, "/a /a/b /a/b/c"},
		{"names are clean", [][]testenv.Entry{{dir("."), dir("./a"), file("/a//b", ""), file("./a/./c", "")}}, "/a /a/b /a/c"},
		{"a whiteout hides a file", [][]testenv.Entry{{file("a/x", ""), file("a/y", "")}, {file("a/.wh.x", "")}}, "/a /a/y"},
		{"a whiteout hides a folder", [][]testenv.Entry{{file("a/b/x", ""), file("a/y", "")}, {file("a/.wh.b", "")}}, "/a /a/y"},
		{"a whiteout of nothing that is there", [][]testenv.Entry{{file("x", "")}, {file("a/.wh.b", ""), file(".wh.c", "")}}, "/x"},
		{"an opaque folder", [][]testenv.Entry{{file("a/x", ""), file("a/b/y", ""), file("z", "")}, {dir("a"), file("a/.wh..wh..opq", ""), file("a/new", "")}}, "/a /a/new /z"},
		{"opaque after what the layer adds", [][]testenv.Entry{{file("a/x", "")}, {file("a/new", ""), file("a/sub/new", ""), file("a/.wh..wh..opq", "")}}, "/a /a/new /a/sub /a/sub/new"},
		{"a whiteout leaves what its layer adds", [][]testenv.Entry{{file("a/x", "")}, {file("a/new", ""), file(".wh.a", "")}}, "/a /a/new"},
		{"a whiteout before what its layer adds", [][]testenv.Entry{{file("a/x", "")}, {file(".wh.a", ""), file("a/new", "")}}, "/a /a/new"},
		{"whiteouts in whiteouts", [][]testenv.Entry{{file("a/b/c/x", "")}, {file("a/b/.wh.c", ""), file("a/new", ""), file("a/.wh..wh..opq", ""), file(".wh.a", ""), file(".wh.a", "")}}, "/a /a/new"},
		{"whiteouts follow links", [][]testenv.Entry{{file("usr/bin/x", ""), file("usr/bin/y", ""), link("bin", "usr/bin")}, {file("bin/.wh.x", "")}}, "/bin /usr /usr/bin /usr/bin/y"},
		{"a whiteout hides a link and not its target", [][]testenv.Entry{{file("usr/bin/x", ""), link("bin", "usr/bin")}, {file(".wh.bin", "")}}, "/usr /usr/bin /usr/bin/x"},
		{"parents follow links", [][]testenv.Entry{{dir("usr/bin"), link("bin", "usr/bin")}, {file("bin/x", "")}}, "/bin /usr /usr/bin /usr/bin/x"},
		{"links that climb stop at the root", [][]testenv.Entry{{link("a", "../../../b"), file("a/x", "")}}, "/a /b /b/x"},
		{"a link into nothing is filled", [][]testenv.Entry{{link("var/run", "/run"), file("var/run/x", "")}}, "/run /run/x /var /var/run"},
		{"a file replaces a folder", [][]testenv.Entry{{file("a/b/x", "")}, {file("a", "")}}, "/a"},
		{"a folder replaces a link", [][]testenv.Entry{{file("usr/bin/x", ""), link("bin", "usr/bin")}, {dir("bin")}}, "/bin /usr /usr/bin /usr/bin/x"},
		{"a folder joins a folder", [][]testenv.Entry{{file("a/x", "")}, {dir("a")}}, "/a /a/x"},
		{"names that AUFS keeps", [][]testenv.Entry{{dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", ""), hard("x", ".wh..wh.plnk/1.2")}}, "/x"},
		{"hard links outlive their first name", [][]testenv.Entry{{file("a", "x"), hard("/b/c", "/a")}, {file(".wh.a", "")}}, "/b /b/c"},
		{"hard links across layers, through links", [][]testenv.Entry{{file("usr/x", "x"), link("l", "usr")}, {hard("y", "l/x")}}, "/l /usr /usr/x /y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range tt.layers {
				layers = append(layers, testenv.Tar(t, l...))
			}
			tree, err := scanned(defaultLimits, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if got := paths(tree); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestScanKeepsNodes(t *testing.T) {
	tmp := dir("tmp")
	tmp.Mode = 0o1777
	tmp.PAXRecords = map[string]string{
		"SCHILY.xattr.user.note": "a\x00b", "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.opaque": "y",
	}
	own := file("home/x", "")
	own.Uid, own.Gid, own.Mode = 1000, 2_000_000_000, 0o4755
	null := testenv.Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666}}
	tree, err := scanned(defaultLimits, testenv.Tar(t, tmp, own, null, link("bin", "usr/bin"), hard("home/y", "home/x"), hard("sbin", "bin")))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Node{
		"/tmp":      {Type: tar.TypeDir, Mode: 0o1777, Xattrs: map[string]string{"user.note": "a\x00b"}},
		"/home":     {Type: tar.TypeDir, Mode: 0o755},
		"/home/x":   {Type: tar.TypeReg, Mode: 0o4755, UID: 1000, GID: 2_000_000_000},
		"/home/y":   {Type: tar.TypeReg, Mode: 0o4755, UID: 1000, GID: 2_000_000_000},
		"/dev":      {Type: tar.TypeDir, Mode: 0o755},
		"/dev/null": {Type: tar.TypeChar, Mode: 0o666},
		"/bin":      {Type: tar.TypeSymlink, Mode: 0o777, Link: "usr/bin"},
		"/sbin":     {Type: tar.TypeSymlink, Mode: 0o777, Link: "usr/bin"},
	}
	if got := nodes(tree); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestScanKeepsAccounts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]testenv.Entry
		want   map[string]string
	}{
		{"plain", [][]testenv.Entry{{file("etc/passwd", "p"), file("etc/group", "g"), file("etc/shadow", "s"), file("etc/hosts", "h")}},
			map[string]string{"/etc/passwd": "p", "/etc/group": "g", "/etc/shadow": "s"}},
		{"the last layer wins", [][]testenv.Entry{{file("etc/passwd", "old")}, {file("etc/passwd", "new")}},
			map[string]string{"/etc/passwd": "new"}},
		{"removed", [][]testenv.Entry{{file("etc/passwd", "old")}, {file("etc/.wh.passwd", "")}}, map[string]string{}},
		{"empty", [][]testenv.Entry{{file("etc/passwd", "")}}, map[string]string{"/etc/passwd": ""}},
		{"a link into a store", [][]testenv.Entry{{dir("nix"), file("nix/1-passwd", "p"), file("nix/2-passwd", "q")}, {link("etc/passwd", "../nix/1-passwd")}},
			map[string]string{"/nix/1-passwd": "p"}},
		{"below a linked folder", [][]testenv.Entry{{file("usr/etc/passwd", "p"), link("etc", "usr/etc")}},
			map[string]string{"/usr/etc/passwd": "p"}},
		{"a hard link", [][]testenv.Entry{{file("a", "p")}, {hard("etc/passwd", "a")}, {file(".wh.a", "")}},
			map[string]string{"/etc/passwd": "p"}},
		{"a link to nothing", [][]testenv.Entry{{link("etc/passwd", "/nix/passwd")}}, map[string]string{}},
		{"a loop", [][]testenv.Entry{{link("etc/passwd", "group"), link("etc/group", "passwd")}}, map[string]string{}},
		{"a folder", [][]testenv.Entry{{dir("etc/passwd")}}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range tt.layers {
				layers = append(layers, testenv.Tar(t, l...))
			}
			tree, err := scanned(defaultLimits, layers...)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for p, data := range tree.Files {
				got[p] = string(data)
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What a hostile or broken layer gets.
func TestScanRefuses(t *testing.T) {
	small := defaultLimits
	small.entries, small.names, small.steps, small.content = 50, 20_000, 400, 1<<20
	many := func(n int, f func(i int) testenv.Entry) (items []testenv.Entry) {
		for i := range n {
			items = append(items, f(i))
		}
		return items
	}
	deep := strings.Repeat("d/", 300)
	for _, tt := range []struct {
		name  string
		items []testenv.Entry
		want  string
	}{
		{"a path that climbs", []testenv.Entry{file("../x", "")}, `layer 1: entry "../x": a path with ".."`},
		{"a path that climbs inside", []testenv.Entry{file("a/../../x", "")}, `entry "a/../../x": a path with ".."`},
		{"a hard link that climbs", []testenv.Entry{hard("x", "../../etc/shadow")}, `entry "x": hard link: a path with ".."`},
		{"a hard link to nothing", []testenv.Entry{hard("x", "/etc/shadow")}, `entry "x": a hard link to "/etc/shadow", which is not a file of the image`},
		{"a hard link to a folder", []testenv.Entry{dir("a"), hard("x", "a")}, `a hard link to "a", which is not a file`},
		{"a hard link to the root", []testenv.Entry{hard("x", "/")}, `a hard link to "/", which is not a file`},
		{"a hard link to itself", []testenv.Entry{hard("x", "x")}, `a hard link to "x"`},
		{"a file as the root", []testenv.Entry{file(".", "")}, `takes the place of the root`},
		{"a file as a folder", []testenv.Entry{file("a", ""), file("a/b", "")}, `entry "a/b": "a" on its way is not a directory`},
		{"links in a loop", []testenv.Entry{link("a", "b"), link("b", "a"), file("a/x", "")}, `entry "a/x": too many levels of symbolic links`},
		{"a link to nothing", []testenv.Entry{link("a", "")}, `a symbolic link to nothing`},
		{"a whiteout of nothing", []testenv.Entry{file("a/.wh.", "")}, `a whiteout of nothing`},
		{"a whiteout that climbs", []testenv.Entry{file("a/.wh...", "")}, `a whiteout of nothing`},
		{"an unknown type", []testenv.Entry{{Header: tar.Header{Typeflag: 'Z', Name: "z"}}}, `entry "z": unknown type 'Z'`},
		{"too many files", many(51, func(i int) testenv.Entry { return file(fmt.Sprint(i), "") }), `more than the 50 files`},
		{"one file too often", many(51, func(int) testenv.Entry { return dir("a") }), `more than the 50 files`},
		{"too many implied folders", []testenv.Entry{file(deep+"x", "")}, `more than the 50 files`},
		{"a long path", []testenv.Entry{file(strings.Repeat("x", 5000), "")}, `a path of 5000 bytes, more than the 4096`},
		{"a long link", []testenv.Entry{link("a", strings.Repeat("x", 5000))}, `a path of 5000 bytes`},
		{"many long paths", many(20, func(i int) testenv.Entry { return file(fmt.Sprint(i, strings.Repeat("x", 2000)), "") }), `more than 20000 bytes of paths`},
		{"much walking", many(20, func(i int) testenv.Entry { return file(strings.Repeat("d/", 25)+fmt.Sprint(i), "") }), `too many links and nested folders`},
		{"a bomb", []testenv.Entry{file("x", strings.Repeat("x", 2<<20))}, `more than 1048576 bytes, uncompressed`},
		{"a big account file", []testenv.Entry{file("etc/passwd", strings.Repeat("x", 1<<20+1))}, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := small
			if tt.want == "" {
				limits, tt.want = defaultLimits, "/etc/passwd is 1048577 bytes long, more than the 1048576 that an account file may have"
			}
			_, err := scanned(limits, testenv.Tar(t, tt.items...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
		})
	}

	links := []testenv.Entry{link("l", strings.Repeat("d/", 1000))}
	for range 20 {
		links = append(links, link(strings.Repeat("l/", len(links))+"l", strings.Repeat("d/", 1000)))
	}
	if _, err := scanned(defaultLimits, testenv.Tar(t, links...)); err == nil || !strings.Contains(err.Error(), "links lead to a path of more than 4096 bytes") {
		t.Errorf("links that nest without end: got error %v", err)
	}
}

func TestScanReadsCompression(t *testing.T) {
	plain := testenv.Tar(t, file("etc/passwd", "root"))
	other := testenv.SHA256([]byte("other"))
	// A frame whose header asks for a large window, whatever it holds.
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x98}, 1, 0, 0)
	for _, tt := range []struct {
		name   string
		blob   []byte
		diffID v1.Hash
		want   string // error
	}{
		{"plain", plain, testenv.SHA256(plain), ""},
		{"gzip", testenv.Gzip(t, plain), testenv.SHA256(plain), ""},
		{"zstd", testenv.Zstd(t, plain), testenv.SHA256(plain), ""},
		{"zstd after a skippable frame", append([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7}, testenv.Zstd(t, plain)...), testenv.SHA256(plain), ""},
		{"padding counts", append(slices.Clone(plain), make([]byte, 4096)...), testenv.SHA256(append(slices.Clone(plain), make([]byte, 4096)...)), ""},
		{"another diff ID", testenv.Gzip(t, plain), other, "uncompresses to " + testenv.SHA256(plain).String() + ", but the config says " + other.String()},
		{"half a gzip", testenv.Gzip(t, plain)[:60], testenv.SHA256(plain), "unexpected EOF"},
		{"half a tar", plain[:514], testenv.SHA256(plain[:514]), "unexpected EOF"},
		{"no tar", []byte(strings.Repeat("<html>", 200)), other, "not a valid tar archive"},
		{"no gzip", []byte{0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, other, "gzip: "},
		{"zstd with a large window", frame, other, "window size"},
		{"nothing", nil, testenv.SHA256(nil), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScanner(defaultLimits)
			err := s.scan(context.Background(), bytes.NewReader(tt.blob), tt.diffID)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}

// A layer that is all but nothing, compressed, ends early.
func TestScanRefusesBombs(t *testing.T) {
	limits := defaultLimits
	limits.small = 1 << 20
	bomb := testenv.Tar(t, file("x", strings.Repeat("\x00", 8<<20)))
	for name, blob := range map[string][]byte{"gzip": testenv.Gzip(t, bomb), "zstd": testenv.Zstd(t, bomb)} {
		err := newScanner(limits).scan(t.Context(), bytes.NewReader(blob), testenv.SHA256(bomb))
		if err == nil || !strings.Contains(err.Error(), "as no honest layer does") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if err := newScanner(limits).scan(t.Context(), bytes.NewReader(bomb), testenv.SHA256(bomb)); err != nil {
		t.Errorf("not compressed: %v", err)
	}
}

// A base may have a million files: what is kept of each is bounded.
func TestScanMemory(t *testing.T) {
	const files, most = 100_000, 230 // bytes of each: 126 are usual
	var items []testenv.Entry
	for i := range files {
		items = append(items, file(fmt.Sprintf("usr/share/doc/package-%d/some-file-%d.txt", i/20, i), ""))
	}
	layer := testenv.Tar(t, items...)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	tree, err := scanned(defaultLimits, layer)
	if err != nil {
		t.Fatal(err)
	}
	used := (heap() - before) / files
	t.Logf("%d bytes a file", used)
	if used > most {
		t.Errorf("%d bytes a file, more than %d", used, most)
	}
	image := tree.Over()
	if more := (heap() - before) / files; more > most {
		t.Errorf("with an image on it, %d bytes a file", more)
	}
	runtime.KeepAlive(image)
	runtime.KeepAlive(layer)
}

func TestScanEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("interrupted"))
	plain := testenv.Tar(t, file("x", ""))
	err := newScanner(defaultLimits).scan(ctx, bytes.NewReader(plain), testenv.SHA256(plain))
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got error %v", err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(testenv.Tar(f, dir("a"), file("etc/passwd", "x"), link("l", "../a"), hard("h", "etc/passwd")),
		testenv.Tar(f, file(".wh.a", ""), file("a/.wh..wh..opq", ""), file("l/x", "")))
	f.Add(testenv.Gzip(f, testenv.Tar(f, file("x", ""))), testenv.Zstd(f, testenv.Tar(f, link("etc", "usr"), file("usr/passwd", "x"))))
	limits := defaultLimits
	limits.entries, limits.names, limits.steps, limits.content, limits.window = 1000, 1<<20, 100_000, 1<<22, 1<<20
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		s := newScanner(limits)
		for _, blob := range [][]byte{lower, upper} {
			r, err := uncompress(bytes.NewReader(blob), limits.window)
			if err != nil {
				return
			}
			var read int64
			err = s.apply(t.Context(), &contentReader{ctx: context.Background(), r: r, read: &read, limit: limits.content})
			r.Close()
			if err != nil {
				return
			}
		}
		tree := &Tree{root: s.root}
		all := nodes(tree)
		for p := range all {
			if p == "/" || path.Clean(p) != p || !path.IsAbs(p) || strings.Contains(p, "/..") && path.Base(p) == ".." {
				t.Errorf("a path %q", p)
			}
			if parent := path.Dir(p); parent != "/" && all[parent].Type != tar.TypeDir {
				t.Errorf("%q in %q, which is not a directory", p, parent)
			}
			if resolved, err := tree.Resolve(p + "/x"); err == nil && !path.IsAbs(resolved) {
				t.Errorf("%q leads to %q", p, resolved)
			}
		}
		if back, err := NewRecord(tree).Tree(); err != nil || !reflect.DeepEqual(nodes(back), all) {
			t.Errorf("the record differs: %v", err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var items []testenv.Entry
	for i := range 2000 {
		content := make([]byte, 7000)
		for j := range content {
			content[j] = "abcdefgh"[random.IntN(8)]
		}
		items = append(items, file(fmt.Sprintf("usr/share/doc/%d/%d", i/50, i), string(content)))
	}
	plain := testenv.Tar(b, items...)
	diffID := testenv.SHA256(plain)
	for name, blob := range map[string][]byte{"gzip": testenv.Gzip(b, plain), "zstd": testenv.Zstd(b, plain), "plain": plain} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				s := newScanner(defaultLimits)
				if err := s.scan(b.Context(), bytes.NewReader(blob), diffID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
