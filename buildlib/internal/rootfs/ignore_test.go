package rootfs

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib/internal/filetree"
)

// copied are the files and folders that an image gets of a project's folder.
func copied(t *testing.T, f File) []string {
	t.Helper()
	var got []string
	layers := listing(t, mustBuild(t, newBuilder(t), Spec{Base: &filetree.Tree{}, Files: []File{f}}))
	for _, line := range slices.Concat(layers...) {
		name := strings.Fields(line)[3]
		if name != "src/" {
			got = append(got, strings.TrimPrefix(name, "src/"))
		}
	}
	return got
}

func TestFilesLeaveOut(t *testing.T) {
	dir := project(t, map[string]string{
		".git/config": "token", "sub/.git": "gitdir: ..", "sub/a": "", "out/bin/x": "", "out/.multimage/lock": "", "old/.multimage/lock": "", "old/bin/x": "",
		"cache/blobs/x": "", "a.go": "", "node_modules/.git/x": "", "node_modules/b/c.js": "", "web/.gitignore": "*", "web/dist/app.js": "",
	})
	if err := os.Symlink("out", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "out"), filepath.Join(t.TempDir(), "out")); err != nil {
		t.Fatal(err)
	}
	folders := []Folder{{filepath.Join(dir, "link"), "the output"}, {filepath.Join(dir, "cache"), "the cache"}, {filepath.Join(dir, "none"), "none"}}
	for name, c := range map[string]struct {
		source   string
		patterns []string
		want     string
	}{
		"what builds write and what git has": {".", nil, "a.go link node_modules/ node_modules/b/ node_modules/b/c.js sub/ sub/a web/ web/.gitignore web/dist/ web/dist/app.js"},
		"a folder by its name":               {".", []string{"node_modules", "link"}, "a.go sub/ sub/a web/ web/.gitignore web/dist/ web/dist/app.js"},
		"at any depth":                       {".", []string{"**/*.js", "**/sub", "**/.*", "link"}, "a.go node_modules/ node_modules/b/ web/ web/dist/"},
		"all but":                            {".", []string{"*", "!web/dist", "!a.go"}, "a.go web/ web/dist/ web/dist/app.js"},
		"the last one counts":                {"web", []string{"dist", "!web/dist", "**/*.js", "!**/app.js", "**/.*"}, "dist/ dist/app.js"},
		"below the source":                   {"node_modules", []string{"node_modules/c", "b"}, "b/ b/c.js"},
		"an excluded source with exceptions": {"web", []string{"web", "!web/dist/app.js"}, "dist/ dist/app.js"},
	} {
		t.Run(name, func(t *testing.T) {
			f := File{Source: filepath.Join(dir, c.source), Path: "/src", Root: dir, Ignore: Ignore{folders, c.patterns}}
			if got := strings.Join(copied(t, f), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// The owner of a folder that .dockerignore excludes, but not all in it, is the File's.
func TestFilesInExcludedFolders(t *testing.T) {
	dir := project(t, map[string]string{"web/dist/app.js": "", "web/src/x.ts": ""})
	f := File{Source: dir, Path: "/src", UID: 7, GID: 8, Root: dir, Ignore: Ignore{Patterns: []string{"web", "!web/dist"}}}
	got := listing(t, mustBuild(t, newBuilder(t), Spec{Base: &filetree.Tree{}, Files: []File{f}}))[0]
	want := []string{"5 0755 7:8 src/", "5 0755 7:8 src/web/", "5 0755 7:8 src/web/dist/", "0 0644 7:8 src/web/dist/app.js"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestFilesRefuseWhatIsLeftOut(t *testing.T) {
	dir := project(t, map[string]string{".git/config": "", "out/x": "", "web/a.js": "", "web/b.js": "", "a.js": ""})
	for link, target := range map[string]string{"meta": ".git", "latest": "out"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	ignore := Ignore{[]Folder{{filepath.Join(dir, "out"), "the Output out"}}, []string{"**/*.js", "!b.js"}}
	for source, want := range map[string]string{
		".git":        "is .git, which images never take in",
		".git/config": "is in .git, which",
		"meta":        "leads into .git, which",
		"meta/config": "leads into .git, which",
		"out":         "is the Output out, which",
		"out/none":    "is in the Output out, which",
		"latest":      "is in the Output out, which",
		"latest/x":    "is in the Output out, which",
		"a.js":        `.dockerignore excludes it with "**/*.js": add !a.js there`,
		"web":         `.dockerignore leaves nothing of it: "**/*.js" excludes web/b.js`,
	} {
		f := File{Source: filepath.Join(dir, source), Path: "/x", Root: dir, Ignore: ignore}
		buildError(t, newBuilder(t), Spec{Files: []File{f}}, "file /x: source "+f.Source+": "+want)
	}
}

// Where the file system has no modes, git's count.
func TestFilesModesOfTheIndex(t *testing.T) {
	dir := project(t, map[string]string{"web/run.sh": "", "web/a.txt": ""})
	if err := os.Chmod(filepath.Join(dir, "web", "a.txt"), 0o777); err != nil {
		t.Fatal(err)
	}
	f := File{Source: filepath.Join(dir, "web"), Path: "/src", Root: dir, Executables: map[string]bool{"web/run.sh": true}}
	got := listing(t, mustBuild(t, newBuilder(t), Spec{Base: &filetree.Tree{}, Files: []File{f}}))[0]
	if want := []string{"5 0755 0:0 src/", "0 0644 0:0 src/a.txt", "0 0755 0:0 src/run.sh"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
