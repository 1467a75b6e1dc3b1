package git

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestExecutables(t *testing.T) {
	r := newRepo(t)
	lib := newRepo(t)
	for _, at := range []repo{r, lib} {
		at.write("web/run.sh", "")
		at.write("web/a.txt", "")
		at.git("config", "core.fileMode", "false") // or a commit would look at the files
		at.git("add", ".")
		at.git("update-index", "--chmod=+x", "web/run.sh")
		at.commit()
	}
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib.dir, "web/lib")
	r.commit()
	r.write("web/untracked.sh", "")
	if err := os.Chmod(filepath.Join(r.dir, "web", "untracked.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	all := func(dir string) string {
		t.Helper()
		files, err := Executables(t.Context(), filepath.Join(r.dir, dir))
		if err != nil {
			t.Fatal(err)
		}
		if files == nil {
			return "nil"
		}
		return strings.Join(slices.Sorted(maps.Keys(files)), " ")
	}
	r.git("config", "core.fileMode", "true")
	if got := all("."); got != "nil" && os.PathSeparator == '/' {
		t.Errorf("got %s where the file system can tell", got)
	}
	r.git("config", "core.fileMode", "false")
	for dir, want := range map[string]string{
		".":       "web/lib/web/run.sh web/run.sh",
		"web":     "lib/web/run.sh run.sh",
		"web/lib": "nil", // a repository of its own, whose files have modes
	} {
		if got := all(dir); got != want {
			t.Errorf("%s: got %q, want %q", dir, got, want)
		}
	}
	if files, err := Executables(t.Context(), t.TempDir()); files != nil || err != nil {
		t.Errorf("without a repository: got %v, %v", files, err)
	}
}
