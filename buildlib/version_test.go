package buildlib

import (
	"encoding/json"
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
	if out, err := exec.Command("git", "-C", clone, "tag", "1.0.0").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if p := plan(t, clone, Project{}, Overrides{}); len(p.Warnings) != 2 || !strings.Contains(p.Warnings[1], "HEAD has the tag 1.0.0") {
		t.Errorf("warnings %q, want one of the tag, too", p.Warnings)
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
	p := plan(t, dir, Project{}, Overrides{})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "no git command in PATH: install git, or set Overrides.Version") || !p.Unversioned {
		t.Errorf("version %s, warnings %q, want dev and one that says what to do", p.Version, p.Warnings)
	}
	p = plan(t, dir, Project{}, Overrides{Version: "1.0"})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "images carry no revision") || p.Version != "1.0" {
		t.Errorf("version %s, warnings %q", p.Version, p.Warnings)
	}
}

// A git that can't answer is in nobody's way, and its reason is told.
func TestGitFails(t *testing.T) {
	dir := project(t, oneMain())
	commit(t, dir, "v1.0.0")
	write(t, filepath.Join(dir, ".git", "HEAD"), "garbage")
	for version, want := range map[string]string{"": "dev", "{{.Revision}}2.0": "2.0"} {
		p := plan(t, dir, Project{}, Overrides{Version: version})
		if p.Version != want || p.Revision != "" || p.Unversioned != (version == "") {
			t.Errorf("version %s, revision %q", p.Version, p.Revision)
		}
		if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "images carry no revision: git ") || !strings.Contains(p.Warnings[0], "not a git repository") {
			t.Errorf("warnings %q", p.Warnings)
		}
	}
}

// A version that is not what somebody meant is not silent.
func TestTagWarnings(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dir     string
		tags    []string // of HEAD; | goes to the next commit
		project Project
		want    string // of the warning; empty: none
	}{
		{name: "used", tags: []string{"v1.0.0", "1.0.0", "latest"}},
		{name: "no tag"},
		{name: "without v", tags: []string{"v1.8.0", "|", "1.2.3"},
			want: `the version is v1.8.0-1-gHASH, though HEAD has the tag 1.2.3: tags of versions match v*: set TagPattern to "*", or set Overrides.Version or Version`},
		{name: "without v, not at HEAD", tags: []string{"v1.8.0", "|", "1.2.3", "|"},
			want: `the version is v1.8.0-2-gHASH, though there is the tag 1.2.3: tags of versions match v*: set TagPattern to "*", or set Overrides.Version or Version`},
		{name: "pattern set", tags: []string{"v1.8.0", "|", "1.2.3"}, project: Project{TagPattern: "*"}},
		{name: "named", tags: []string{"app-v1.2.3"}, want: `the version is HASH, though HEAD has the tag app-v1.2.3: tags of versions match v*: set TagPattern to "app-v*", or set Overrides.Version or Version`},
		{name: "no version", tags: []string{"v1.0.0", "|", "vendored-2024"},
			want: `the version is v1.0.0-1-gHASH, though HEAD has the tag vendored-2024: vendored-2024 is not a semantic version (like v1.2.3): tag one, or set Overrides.Version or Version`},
		{name: "nothing like it", tags: []string{"nightly"}, want: `the version is HASH, though HEAD has the tag nightly: tags of versions match v*: tag one, or set Overrides.Version or Version`},
		{name: "calendar", tags: []string{"2024.01.02"}, project: Project{TagPattern: "20*"},
			want: `the version is HASH, though HEAD has the tag 2024.01.02: 2024.01.02 is not a semantic version (like v1.2.3): tag one, or set Overrides.Version or Version`},
		{name: "of the whole repository", dir: "sub", tags: []string{"v1.0.0"},
			want: `the version is HASH, though HEAD has the tag v1.0.0: tags of this module start with sub/: tag sub/v1.2.3, or set Overrides.Version or Version`},
		{name: "of the whole repository, before", dir: "sub", tags: []string{"v1.0.0", "|"},
			want: `the version is HASH, though there is the tag v1.0.0: tags of this module start with sub/: tag sub/v1.2.3, or set Overrides.Version or Version`},
		{name: "the module's", dir: "sub", tags: []string{"sub/v1.0.0", "v3.0.0"}},
		{name: "given", tags: []string{"1.2.3"}, project: Project{Version: "1.2.3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := oneMain()
			f["sub/go.mod"], f["sub/cmd/server/main.go"] = "module example.com/sub\n\ngo 1.24\n", program
			dir := project(t, f)
			commit(t, dir)
			for _, tag := range tt.tags {
				args := []string{"tag", tag}
				if tag == "|" {
					args = []string{"commit", "--quiet", "--allow-empty", "-m", "more"}
				}
				if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("git %v: %v\n%s", args, err, out)
				}
			}
			tt.project.Dir = tt.dir
			p := plan(t, dir, tt.project, Overrides{})
			got := strings.ReplaceAll(strings.Join(p.Warnings, "\n"), p.Revision[:12], "HASH")
			if got != tt.want {
				t.Errorf("warnings\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	dir := project(t, oneMain())
	if got := mistakes(t, dir, Project{TagPattern: "v[*"}, Overrides{}); got[0] != `TagPattern: "v[*" is not a valid pattern: want one like v* or release-* (Go's path.Match)` {
		t.Errorf("%q", got)
	}
}

// A commit of the far future breaks nothing.
func TestCommitBeyondTheYear9999(t *testing.T) {
	dir := project(t, oneMain())
	t.Setenv("GIT_COMMITTER_DATE", "@1893456000 +0000") // git takes no later one by itself
	commit(t, dir, "v1.0.0")
	cmd := exec.Command("sh", "-c", `git cat-file commit HEAD | sed 's/1893456000/999999999999/' | git hash-object -t commit -w --literally --stdin | xargs git update-ref HEAD`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := plan(t, dir, Project{Version: "1.0"}, Overrides{})
	if p.Epoch != time.Unix(0, 0).UTC() || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "the commit's time") {
		t.Errorf("epoch %v, warnings %q", p.Epoch, p.Warnings)
	}
	if _, err := json.Marshal(p); err != nil {
		t.Error(err)
	}
}
