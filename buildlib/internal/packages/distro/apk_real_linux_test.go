package distro

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/packages"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestRealAlpine reads what Alpine made: the index of a release with its signature,
// a package, and the database of an image. They are test data of another module,
// which is fetched for that.
func TestRealAlpine(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/chainguard-dev/go-apk@v0.0.0-20240605175618-f3471089c263")
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if json.Unmarshal(out, &module); err != nil {
		testenv.Missing(t, "go-apk", fmt.Sprint(err, " ", module.Error))
	}
	dir := filepath.Join(module.Dir, "pkg", "apk")
	data := filepath.Join(dir, "testdata")
	r := newRepository(t)
	for _, m := range regexp.MustCompile("(?s)\"(alpine-devel@[^\"]*\\.rsa\\.pub)\": `\n(.*?)`").FindAllStringSubmatch(readFile(t, filepath.Join(dir, "repo_test.go")), -1) {
		r.set("etc/apk/keys/"+m[1], m[2])
	}
	r.set("etc/apk/repositories", r.url+"/main\n")
	r.set("etc/apk/world", "alpine-baselayout\n")
	r.set("etc/passwd", "root:x:0:0:root:/root:/bin/ash\n")
	r.set("etc/group", "root:x:0:root\n")
	theirs := readFile(t, filepath.Join(data, "root", "lib", "apk", "db", "installed"))
	const apk = "alpine-baselayout-3.2.0-r23.apk"
	r.files["/main/aarch64/APKINDEX.tar.gz"] = []byte(readFile(t, filepath.Join(data, "alpine-317", "APKINDEX.tar.gz")))
	r.files["/"+apk] = []byte(readFile(t, filepath.Join(data, "alpine-317", apk)))

	t.Run("choose", func(t *testing.T) {
		r.set("lib/apk/db/installed", theirs)
		s, err := openApk(r.base, "lib/apk/db", "aarch64")
		if err != nil {
			t.Fatal(err)
		}
		u, err := s.universe(t.Context(), r.client())
		if err != nil {
			t.Fatal(err)
		}
		chosen, err := choose(u, s.installed, []string{"python3"})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range chosen {
			names = append(names, p.name)
		}
		// What else apk adds to Alpine's own image 3.17 for it, and the libraries of 3.17
		// that this database of 3.16 lacks.
		for _, want := range []string{"python3", "libbz2", "libexpat", "libffi", "gdbm", "xz-libs", "mpdecimal", "ncurses-terminfo-base", "ncurses-libs", "readline", "sqlite-libs", "libcrypto3", "libssl3"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s is missing: %q", want, names)
			}
		}
		if len(names) > 20 {
			t.Errorf("%d packages: %q", len(names), names)
		}
		key := "etc/apk/keys/alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub"
		other := "etc/apk/keys/alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub"
		was := r.base[key]
		r.base[key] = r.base[other]
		if _, err := s.universe(t.Context(), r.client()); err == nil || !strings.Contains(err.Error(), "616ae350.rsa.pub is wrong") {
			t.Errorf("with another key: %v", err)
		}
		r.base[key] = was
	})

	// The release before it is in the database that apk wrote, and has the same files.
	t.Run("install", func(t *testing.T) {
		const name = "\nP:alpine-baselayout\n"
		var others []string
		var before string
		for stanza := range strings.SplitSeq(theirs, "\n\n") {
			if strings.Contains("\n"+stanza, name) {
				before = stanza
			} else {
				others = append(others, stanza)
			}
		}
		r.set("lib/apk/db/installed", strings.Join(others, "\n\n"))
		m, err := Open(r.base, "arm64", "")
		if err != nil {
			t.Fatal(err)
		}
		p := packages.Package{Name: "alpine-baselayout", Version: "3.2.0-r23", URL: r.url + "/" + apk, Size: int64(len(r.files["/"+apk])), SHA256: testenv.SHA256(r.files["/"+apk]).Hex}
		_, texts, err := r.unpack(r.client(), m, []packages.Package{p}, []string{"alpine-baselayout"}, []string{"alpine-baselayout"})
		if err != nil {
			t.Fatal(err)
		}
		for stanza := range strings.SplitSeq(texts["/lib/apk/db/installed"], "\n\n") {
			if !strings.Contains("\n"+stanza, name) {
				continue
			}
			if want, got := filesOf(before), filesOf(stanza); !slices.Equal(got, want) {
				t.Errorf("apk's database and ours:\n%s", difference(want, got))
			}
			return
		}
		t.Errorf("the database lacks the package:\n%s", texts["/lib/apk/db/installed"])
	})
}

// filesOf are the lines of a database's entry about files.
func filesOf(entry string) []string {
	lines := strings.Split(strings.TrimSpace(entry), "\n")
	return lines[slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "F:") }):]
}
