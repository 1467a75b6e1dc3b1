package buildlib

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVersion(t *testing.T) {
	for _, tt := range []struct {
		name        string
		tag         string // empty: no git
		dirty       bool
		epoch       string
		project     string
		over        string
		want        string
		unversioned bool
	}{
		{name: "no git", want: "dev", unversioned: true},
		{name: "no git, given", project: "1.0", want: "1.0"},
		{name: "git's tag", tag: "v1.2.3", want: "v1.2.3"},
		{name: "dirty", tag: "v1.2.3", dirty: true, want: "v1.2.3-dirty"},
		{name: "given", tag: "v1.2.3", project: "2.0", want: "2.0"},
		{name: "overridden", tag: "v1.2.3", project: "2.0", over: "3.0", want: "3.0"},
		{name: "template", tag: "v1.2.3", dirty: true, project: `{{.Tag | trimPrefix "v"}}{{if .Dirty}}+dirty{{end}}`, want: "1.2.3+dirty"},
		{name: "template of the epoch", epoch: "86400", project: "{{slice .Date 0 10}}", want: "1970-01-02"},
		{name: "revision", tag: "v1.2.3", project: "{{slice .Revision 0 7}}", want: "049a2a1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, oneMain())
			if tt.tag != "" {
				commit(t, dir, tt.tag)
			}
			if tt.dirty {
				write(t, filepath.Join(dir, "cmd", "server", "main.go"), program+"\n")
			}
			t.Setenv("SOURCE_DATE_EPOCH", tt.epoch)
			p := plan(t, dir, Project{Version: tt.project}, Overrides{Version: tt.over})
			if tt.name == "revision" {
				tt.want = p.Revision[:7]
			}
			if p.Version != tt.want || p.Unversioned != tt.unversioned || p.Dirty != tt.dirty {
				t.Errorf("version %q, unversioned %v, dirty %v, want %q, %v, %v", p.Version, p.Unversioned, p.Dirty, tt.want, tt.unversioned, tt.dirty)
			}
		})
	}
}

// The clock is nowhere in it.
func TestEpoch(t *testing.T) {
	dir := project(t, oneMain())
	for _, tt := range []struct {
		name, env string
		git       bool
		want      int64
	}{
		{"no git", "", false, 0},
		{"commit", "", true, 1750000000},
		{"given", "1234567890", true, 1234567890},
		{"given as 0", "0", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(dir, ".git")); tt.git && err != nil {
				commit(t, dir)
			}
			t.Setenv("SOURCE_DATE_EPOCH", tt.env)
			p := plan(t, dir, Project{}, Overrides{})
			if want := time.Unix(tt.want, 0).UTC(); p.Epoch != want {
				t.Errorf("epoch %v, want %v", p.Epoch, want)
			}
		})
	}
	for _, bad := range []string{"now", "-1", "1.5", "99999999999999"} {
		t.Setenv("SOURCE_DATE_EPOCH", bad)
		if got := mistakes(t, dir, Project{}, Overrides{}); len(got) != 1 || !strings.HasPrefix(got[0], `SOURCE_DATE_EPOCH: "`+bad+`" is not`) {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

// CI clones one commit, without tags: the version is then worse than it could
// be, and silence would be noticed after the release.
func TestShallowCloneWarns(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir, "v1.0.0")
	clone := filepath.Join(t.TempDir(), "clone")
	for _, args := range [][]string{
		{"-C", dir, "commit", "--quiet", "--allow-empty", "-m", "more"},
		{"clone", "--quiet", "--depth=1", "file://" + dir, clone},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	p := plan(t, clone, Project{}, Overrides{})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "fetch-depth: 0") || !strings.Contains(p.Warnings[0], p.Version) {
		t.Errorf("warnings %q, want one that names the fix", p.Warnings)
	}
	if p := plan(t, clone, Project{Version: "1.0"}, Overrides{}); len(p.Warnings) > 0 {
		t.Errorf("warnings %q, though the version was given", p.Warnings)
	}
	if p := plan(t, dir, Project{}, Overrides{}); len(p.Warnings) > 0 {
		t.Errorf("warnings %q in a full clone", p.Warnings)
	}
}

// A repository without git, as in a small CI image, must not publish "dev".
func TestNoGitCommand(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir)
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(goCommand, filepath.Join(bin, "go")); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", bin)
	if got := mistakes(t, dir, Project{}, Overrides{}); !strings.Contains(got[0], "install git or set MULTIMAGE_VERSION") {
		t.Errorf("error %q, want one that says what to do", got)
	}
	p := plan(t, dir, Project{}, Overrides{Version: "1.0"})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "images carry no revision") || p.Version != "1.0" {
		t.Errorf("version %s, warnings %q", p.Version, p.Warnings)
	}
}
