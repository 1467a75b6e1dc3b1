package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// commitTime is that of every commit the tests make.
const commitTime = 1750000000

// hermetic keeps the machine's and the user's git configuration away, and
// gives the tests an author.
func hermetic(t testing.TB) {
	t.Helper()
	testenv.Require(t, "git")
	for key, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
		"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
		"GIT_AUTHOR_DATE": fmt.Sprint(commitTime, " +0200"), "GIT_COMMITTER_DATE": fmt.Sprint(commitTime, " +0200"),
	} {
		t.Setenv(key, value)
	}
}

// repo is a repository that a test works on.
type repo struct {
	t   testing.TB
	dir string
}

// newRepo makes a repository with one commit.
func newRepo(t testing.TB) repo {
	t.Helper()
	hermetic(t)
	r := repo{t, filepath.Join(t.TempDir(), "a folder with spaces")}
	r.write("main.go", "package main\n")
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("add", ".")
	r.commit()
	return r
}

func (r repo) git(args ...string) string { r.t.Helper(); return r.feed("", args...) }

func (r repo) feed(stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s%s", args, err, out, &said)
	}
	return strings.TrimSpace(string(out))
}

// commitSaying makes a commit that differs from all others.
func (r repo) commitSaying(text string) {
	r.t.Helper()
	r.git("commit", "--quiet", "--allow-empty", "-am", text)
}

// module commits a module in a folder.
func (r repo) module(dir string) {
	r.t.Helper()
	r.write(dir+"/go.mod", "module "+dir+"\n")
	r.git("add", ".")
	r.commit()
}

func (r repo) commit() { r.t.Helper(); r.git("commit", "--quiet", "--allow-empty", "-am", "change") }

func (r repo) head() string { r.t.Helper(); return r.git("rev-parse", "HEAD") }

func (r repo) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// read is Read of the module in a folder of the repository.
func (r repo) read(module string) Info {
	r.t.Helper()
	dir := filepath.Join(r.dir, module)
	info, err := Read(r.t.Context(), dir, dir, "v*")
	if err != nil {
		r.t.Fatal(err)
	}
	return info
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(r repo)
		module  string
		// version and tag may hold HASH, the hash's first 12 digits.
		version, tag string
		dirty        bool
	}{
		{"no tag", func(r repo) {}, "", "HASH", "", false},
		{"no tag, dirty", func(r repo) { r.write("main.go", "package changed\n") }, "", "HASH-dirty", "", true},
		{"tag at HEAD", func(r repo) { r.git("tag", "v1.2.3") }, "", "v1.2.3", "v1.2.3", false},
		{"annotated tag at HEAD", func(r repo) { r.git("tag", "-m", "release", "v1.2.3") }, "", "v1.2.3", "v1.2.3", false},
		{"after a tag", func(r repo) { r.git("tag", "v1.2.3"); r.commit() }, "", "v1.2.3-1-gHASH", "", false},
		{"dirty at a tag", func(r repo) { r.git("tag", "v1.2.3"); r.write("main.go", "package changed\n") }, "", "v1.2.3-dirty", "v1.2.3", true},
		{"dirty after a tag", func(r repo) { r.git("tag", "v1.2.3"); r.commit(); r.write("main.go", "package changed\n") }, "", "v1.2.3-1-gHASH-dirty", "", true},
		{"a staged file", func(r repo) { r.git("tag", "v1.2.3"); r.write("new.go", "package main\n"); r.git("add", ".") }, "", "v1.2.3-dirty", "v1.2.3", true},
		{"a removed file", func(r repo) { r.git("tag", "v1.2.3"); r.git("rm", "--quiet", "main.go") }, "", "v1.2.3-dirty", "v1.2.3", true},
		{"a renamed file", func(r repo) { r.git("tag", "v1.2.3"); r.git("mv", "main.go", "other.go") }, "", "v1.2.3-dirty", "v1.2.3", true},
		// What is built lies untracked beside the sources.
		{"an untracked file", func(r repo) { r.git("tag", "v1.2.3"); r.write("dist/bin/x", "") }, "", "v1.2.3", "v1.2.3", false},
		{"an unchanged file, written again", func(r repo) { r.git("tag", "v1.2.3"); r.write("main.go", "package main\n") }, "", "v1.2.3", "v1.2.3", false},
		{"a module in a folder", func(r repo) {
			r.write("tools/cli/go.mod", "module cli\n")
			r.git("add", ".")
			r.commit()
			r.git("tag", "v9.0.0")
			r.git("tag", "tools/cli/v0.3.0")
			r.git("tag", "tools/v8.0.0")
		}, "tools/cli", "v0.3.0", "v0.3.0", false},
		{"after the tag of a module in a folder", func(r repo) {
			r.write("cli/go.mod", "module cli\n")
			r.git("add", ".")
			r.commit()
			r.git("tag", "cli/v0.3.0")
			r.commit()
		}, "cli", "v0.3.0-1-gHASH", "", false},
		// A folder whose name starts with v has tags that look like the root's.
		{"another module's tag", func(r repo) { r.git("tag", "v1.0.0"); r.commit(); r.git("tag", "validator/v5.0.0") }, "", "v1.0.0-1-gHASH", "", false},
		{"detached HEAD", func(r repo) { r.git("tag", "v1.2.3"); r.commit(); r.git("checkout", "--quiet", "v1.2.3") }, "", "v1.2.3", "v1.2.3", false},
		{"a branch of the tag's name", func(r repo) { r.git("tag", "v1.2.3"); r.git("branch", "v1.2.3"); r.git("branch", "HEAD2") }, "", "v1.2.3", "v1.2.3", false},
		{"a tag named HEAD", func(r repo) { r.git("tag", "v1.2.3"); r.commit(); r.git("update-ref", "refs/tags/HEAD", "HEAD~") }, "", "v1.2.3-1-gHASH", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(t)
			tt.prepare(r)
			head := r.git("rev-parse", "HEAD^{commit}")
			got := r.read(tt.module)
			if want := strings.ReplaceAll(tt.version, "HASH", head[:12]); got.Version != want || got.Tag != tt.tag || got.Dirty != tt.dirty {
				t.Errorf("version %s, tag %q, dirty %v, want %s, %q, %v", got.Version, got.Tag, got.Dirty, want, tt.tag, tt.dirty)
			}
			if want := time.Unix(commitTime, 0).UTC(); got.Revision != head || got.Time != want {
				t.Errorf("revision %s of %v, want %s of %v", got.Revision, got.Time, head, want)
			}
			if branch := r.git("branch", "--show-current"); got.Branch != branch {
				t.Errorf("branch %q, want %q", got.Branch, branch)
			}
		})
	}
}

func TestReadWithoutCommits(t *testing.T) {
	hermetic(t)
	outside := t.TempDir()
	// Not below a repository, whatever holds the temporary folder.
	if _, ok, _ := find(outside); ok {
		t.Skip("the temporary folder is in a git repository")
	}
	unborn := filepath.Join(t.TempDir(), "unborn")
	repo{t, filepath.Dir(unborn)}.git("init", "--quiet", unborn)
	for _, dir := range []string{outside, unborn} {
		if got, err := Read(t.Context(), dir, dir, "v*"); err != nil || !reflect.DeepEqual(got, Info{}) {
			t.Errorf("%s: %+v, %v, want nothing", dir, got, err)
		}
	}
}

func TestReadSource(t *testing.T) {
	r := newRepo(t)
	r.git("remote", "add", "upstream", "https://github.com/upstream/router")
	if got := r.read("").Source; got != "" {
		t.Errorf("source %q without an origin", got)
	}
	r.git("remote", "add", "origin", "https://me:SECRET@github.com/acme/router.git")
	if got, want := r.read("").Source, "https://github.com/acme/router"; got != want {
		t.Errorf("source %q, want %q", got, want)
	}
}

func TestReadShallowClone(t *testing.T) {
	r := newRepo(t)
	r.git("tag", "v1.0.0")
	r.commit()
	clone := func(args ...string) repo {
		to := repo{t, filepath.Join(t.TempDir(), "clone")}
		r.git(append(append([]string{"clone", "--quiet"}, args...), "file://"+r.dir, to.dir)...)
		return to
	}
	for _, tt := range []struct {
		name    string
		clone   repo
		version string
		shallow bool
	}{
		{"full", clone(), "v1.0.0-1-g" + r.head()[:12], false},
		{"depth 1, without the tag", clone("--depth=1"), r.head()[:12], true},
		{"depth 1 at the tag", clone("--depth=1", "--branch=v1.0.0"), "v1.0.0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.clone.read("")
			if got.Version != tt.version || got.Shallow != tt.shallow {
				t.Errorf("version %s, shallow %v, want %s, %v", got.Version, got.Shallow, tt.version, tt.shallow)
			}
			if got.Source != "" {
				t.Errorf("source %q of a clone of a local folder", got.Source)
			}
		})
	}
}

// A worktree's .git is a file, and so is a submodule's.
func TestReadWorktree(t *testing.T) {
	r := newRepo(t)
	r.git("tag", "v1.0.0")
	tree := repo{t, filepath.Join(t.TempDir(), "tree")}
	r.git("worktree", "add", "--quiet", tree.dir)
	tree.write("sub/go.mod", "module sub\n")
	tree.git("add", ".")
	tree.commit()
	tree.git("tag", "sub/v0.1.0")
	if got := tree.read(""); got.Version != "v1.0.0-1-g"+tree.head()[:12] {
		t.Errorf("version %s", got.Version)
	}
	if got := tree.read("sub"); got.Version != "v0.1.0" {
		t.Errorf("version of the module in a folder: %s", got.Version)
	}
}

// A module that is reached through a link has the tags of where it is.
func TestReadThroughLink(t *testing.T) {
	r := newRepo(t)
	r.write("sub/go.mod", "module sub\n")
	r.git("add", ".")
	r.commit()
	r.git("tag", "sub/v0.1.0")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(r.dir, link); err != nil {
		t.Fatal(err)
	}
	if got := (repo{t, link}).read("sub"); got.Version != "v0.1.0" {
		t.Errorf("version %s", got.Version)
	}
}

// A git that fails is an error with its own words, on one line.
func TestReadFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(r repo)
		want    string
	}{
		{"not a repository", func(r repo) {
			if err := os.Remove(filepath.Join(r.dir, ".git", "HEAD")); err != nil {
				r.t.Fatal(err)
			}
		}, "not a git repository"},
		{"damaged", func(r repo) {
			head := r.head()
			path := filepath.Join(r.dir, ".git", "objects", head[:2], head[2:])
			if err := os.Chmod(path, 0o644); err != nil {
				r.t.Fatal(err)
			}
			r.write(filepath.Join(".git", "objects", head[:2], head[2:]), "garbage")
		}, head12},
		{"its folder is gone", func(r repo) {
			if err := os.RemoveAll(filepath.Join(r.dir, ".git")); err != nil {
				r.t.Fatal(err)
			}
			r.write(".git", "gitdir: /gone/with/the/host\n")
		}, "not a git repository"},
		{"a corrupt HEAD", func(r repo) { r.write(".git/HEAD", "garbage\n") }, "not a git repository"},
		{"a HEAD of a commit that is not there", func(r repo) { r.write(".git/HEAD", strings.Repeat("1", 40)+"\n") }, ""},
		{"a corrupt index", func(r repo) { r.write(".git/index", "garbage") }, "index"},
		{"somebody else's", func(r repo) {
			if os.Geteuid() != 0 {
				r.t.Skip("needs root, to give the repository to another user")
			}
			if err := filepath.WalkDir(r.dir, func(path string, _ os.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(path, 65534, 65534))
			}); err != nil {
				r.t.Fatal(err)
			}
			r.t.Setenv("SUDO_UID", "") // git trusts who called sudo, too
		}, "dubious ownership"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(t)
			want := tt.want
			if want == head12 {
				want = r.head()[:12]
			}
			tt.prepare(r)
			info, err := Read(t.Context(), r.dir, r.dir, "v*")
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "git ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v, error %v, want one of git that says %q", info, err, want)
			}
		})
	}
}

// head12 stands for the commit's hash, which git names when it can't read it.
const head12 = "HEAD"

func TestReadWithoutGitCommand(t *testing.T) {
	r := newRepo(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := Read(t.Context(), r.dir, r.dir, "v*"); !errors.Is(err, ErrNoGit) {
		t.Errorf("error %v, want ErrNoGit", err)
	}
	if got, err := Read(t.Context(), t.TempDir(), "", "v*"); err != nil || !reflect.DeepEqual(got, Info{}) {
		t.Errorf("without a repository: %+v, %v, want nothing", got, err)
	}
}
