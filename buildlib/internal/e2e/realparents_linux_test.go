package e2e

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// statMain prints mode and owner of the paths it is given.
const statMain = `package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	for _, p := range os.Args[1:] {
		info, err := os.Stat(p)
		if err != nil {
			fmt.Println(p, err)
			continue
		}
		s := info.Sys().(*syscall.Stat_t)
		fmt.Printf("%s %v %d:%d\n", p, info.Mode(), s.Uid, s.Gid)
	}
}
`

const statMagefile = `//go:build mage

package main

import (
	"encoding/json"
	"os"

	//mage:import
	"github.com/multimage/multimage/buildlib/targets"
)

func init() {
	if err := json.Unmarshal([]byte(os.Getenv("STAT_PROJECT")), &targets.Project); err != nil {
		panic(err)
	}
}
`

// The folders that a container of the image on a base must have, and of
// that from scratch: engines see each layer in a folder of its own, where flattened
// layers hide what a layer lacks.
var parentFolders = map[string][]string{
	"parents-based": {
		"/tmp dtrwxrwxrwx 0:0", "/secret drwx------ 0:0", "/data drwxr-x--- 1000:1000",
		"/data/deep drwxr-xr-x 0:0", "/home/app drwxr-xr-x 100:100", "/bin dgrwxrwxr-x 0:50", "/work drwxr-xr-x 7:8",
	},
	"parents-scratch": {"/tmp dtrwxrwxrwx 0:0", "/etc drwxr-xr-x 0:0", "/app drwx------ 65532:65532"},
}

// newParents writes a project with an image on a base with folders of all
// kinds, and one from scratch.
func newParents(t *testing.T) *example {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	base := testenv.Tiny()
	base.Merged, base.Platforms = true, []string{"linux/" + runtime.GOARCH}
	dir := func(name string, mode int64, id int) testenv.Entry {
		return testenv.Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: id, Gid: id}}
	}
	bin := dir("usr/bin", 0o2775, 0)
	bin.Gid = 50
	base.Entries = []testenv.Entry{dir("tmp", 0o1777, 0), dir("secret", 0o700, 0), dir("data", 0o750, 1000), dir("home/app", 0o755, 100), bin}
	folder := t.TempDir()
	testenv.WriteLayout(t, filepath.Join(folder, "base"), base.Index(t))

	project := filepath.Join(folder, "stat")
	files, err := goModule(root, "hello")
	if err != nil {
		t.Fatal(err)
	}
	files["cmd/stat/main.go"], files["magefiles/magefile.go"], files["a"] = statMain, statMagefile, "x"
	for name, content := range files {
		writeFile(t, filepath.Join(project, name), content)
	}
	e := openExample(t, root, project)
	copied := func(paths ...string) (files []buildlib.File) {
		for _, p := range paths {
			files = append(files, buildlib.File{Source: "a", Path: p})
		}
		return files
	}
	config, err := json.Marshal(buildlib.Project{
		Platforms: []string{"linux/" + runtime.GOARCH},
		Images: []buildlib.Image{{
			Name: "parents-based", Base: "oci:../base", Binaries: []string{"stat"}, BinDir: "/bin",
			Files: append(copied("/tmp/a", "/secret/a", "/data/deep/a", "/home/app/.config/a", "/work/a"), buildlib.File{Path: "/work", UID: 7, GID: 8}),
		}, {
			Name: "parents-scratch", Binaries: []string{"stat"}, BinDir: "/app/bin",
			Files: append(copied("/tmp/a", "/etc/a"), buildlib.File{Path: "/app", Mode: 0o700, UID: 65532, GID: 65532}),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.env = append(e.env, "STAT_PROJECT="+string(config), "MULTIMAGE_TAGS=parents")
	return e
}

// TestParentFoldersInDocker looks at the folders from within containers.
func TestParentFoldersInDocker(t *testing.T) {
	t.Parallel()
	engine := docker(t, "parents-")
	if driver := strings.TrimSpace(run(t, "", engine.env, "docker", "info", "--format", "{{.Driver}}")); !strings.HasPrefix(driver, "overlay") {
		testenv.Missing(t, "docker", "its storage driver is "+driver+", which shows nothing of what overlay2 does")
	}
	e := newParents(t)
	e.env = append(e.env, testenv.Docker(t)...)
	e.mage(t, "load")
	for image, folders := range parentFolders {
		args := []string{"--user=0:0", image + ":parents"}
		for _, f := range folders {
			name, _, _ := strings.Cut(f, " ")
			args = append(args, name)
		}
		wantText(t, image, engine.run(t, args...), strings.Join(folders, "\n"))
	}
}

// TestParentFoldersInPodman looks at the folders in mounted images.
func TestParentFoldersInPodman(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "podman")
	if os.Getuid() != 0 {
		testenv.Missing(t, "podman", "as another user than root it wants id ranges set up")
	}
	e := newParents(t)
	storage := podmanStorage(t, "overlay")
	e.env = append(e.env, "CONTAINERS_STORAGE_CONF="+storage, "DOCKER_HOST=unix://"+storage+".nobody")
	e.mage(t, "load")
	for image, folders := range parentFolders {
		at := strings.TrimSpace(e.run(t, "podman", "image", "mount", image+":parents"))
		var got []string
		for _, f := range folders {
			name, _, _ := strings.Cut(f, " ")
			info, err := os.Stat(filepath.Join(at, name))
			if err != nil {
				t.Error(err)
				continue
			}
			s := info.Sys().(*syscall.Stat_t)
			got = append(got, fmt.Sprintf("%s %v %d:%d", name, info.Mode(), s.Uid, s.Gid))
		}
		wantText(t, image, strings.Join(got, "\n"), strings.Join(folders, "\n"))
		e.run(t, "podman", "image", "unmount", image+":parents")
	}
}
