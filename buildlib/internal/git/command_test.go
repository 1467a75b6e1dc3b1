package git

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A checkout that comes from elsewhere with its configuration runs nothing.
func TestProgramsOfTheCheckout(t *testing.T) {
	for _, tt := range []struct{ name, config string }{
		{"monitor", "[core]\n fsmonitor = PROGRAM\n"},
		{"hooks", "[core]\n hooksPath = HOOKS\n"},
		{"filter", "[filter \"x\"]\n clean = PROGRAM\n required\n"},
		{"filter process", "[filter \"x\"]\n process = PROGRAM\n"},
		{"filter with dots", "[filter \"a.b.clean\"]\n clean = PROGRAM\n"},
		{"filter, included", "[include]\n path = included\n"},
		{"lfs", "[filter \"lfs\"]\n clean = PROGRAM\n process = PROGRAM\n required\n"},
		{"differ", "[diff]\n external = PROGRAM\n[diff \"x\"]\n textconv = PROGRAM\n command = PROGRAM\n"},
		{"signer", "[log]\n showSignature = true\n[gpg]\n program = PROGRAM\n"},
		{"pager", "[core]\n pager = PROGRAM\n[pager]\n status = PROGRAM\n config = PROGRAM\n"},
		{"alias", "[alias]\n status = !PROGRAM\n rev-list = !PROGRAM\n show-ref = !PROGRAM\n"},
		{"transport", "[core]\n sshCommand = PROGRAM\n gitProxy = PROGRAM\n askPass = PROGRAM\n[credential]\n helper = !PROGRAM\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(t)
			r.write(".gitattributes", "*.x filter=x diff=x\n*.abc filter=a.b.clean diff=x\n*.lfs filter=lfs\n")
			for _, name := range []string{"a.x", "a.abc", "a.lfs"} {
				r.write(name, "content\n")
			}
			r.git("add", ".")
			r.commit()
			r.git("tag", "v1.0.0")
			outside := t.TempDir()
			ran, program := filepath.Join(outside, "ran"), filepath.Join(outside, "program")
			script := fmt.Sprintf("#!/bin/sh\necho \"$0 $@\" >>'%s'\ncat\n", ran)
			for _, path := range []string{program, filepath.Join(outside, "hooks", "post-index-change"), filepath.Join(r.dir, ".git", "hooks", "post-index-change")} {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			config := strings.NewReplacer("PROGRAM", program, "HOOKS", filepath.Join(outside, "hooks")).Replace(tt.config)
			f, err := os.OpenFile(filepath.Join(r.dir, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString(config); err != nil {
				t.Fatal(err)
			}
			r.write(".git/included", fmt.Sprintf("[filter \"x\"]\n clean = %s\n", program))
			// Only files that may have changed are read.
			for _, name := range []string{"a.x", "a.abc", "a.lfs"} {
				if err := os.Chtimes(filepath.Join(r.dir, name), time.Time{}, time.Unix(commitTime, 0)); err != nil {
					t.Fatal(err)
				}
			}
			got := r.read("")
			if what, err := os.ReadFile(ran); err == nil {
				t.Errorf("it ran\n%s", what)
			}
			if _, err := exec.LookPath("git-lfs"); tt.name == "lfs" && err == nil {
				return // it makes of a.lfs what was not committed
			}
			if got.Version != "v1.0.0" || got.Dirty {
				t.Errorf("version %s", got.Version)
			}
			if strings.Contains(tt.name, "filter") || tt.name == "monitor" {
				r.git("status") // that this would have run it
				if _, err := os.ReadFile(ran); err != nil {
					t.Error("git status, too, doesn't run it")
				}
			}
		})
	}
}

// What a filter makes of a file can't be known without it.
func TestFilterThatIsNotRun(t *testing.T) {
	r := newRepo(t)
	r.git("config", "filter.upper.clean", "tr a-z A-Z")
	r.git("config", "filter.upper.required", "true")
	r.write(".gitattributes", "*.up filter=upper\n")
	r.write("a.up", "content\n")
	r.git("add", ".")
	r.commit()
	if err := os.Chtimes(filepath.Join(r.dir, "a.up"), time.Time{}, time.Unix(commitTime, 0)); err != nil {
		t.Fatal(err)
	}
	if got := r.read(""); !got.Dirty || !slices.Equal(got.Filters, []string{"upper"}) {
		t.Errorf("dirty %v, filters %q", got.Dirty, got.Filters)
	}
	r.git("status") // as its owner, who lets it run
	if got := r.read(""); got.Dirty || got.Filters != nil {
		t.Errorf("after git status: dirty %v, filters %q", got.Dirty, got.Filters)
	}
	// The user's own are the user's.
	global := filepath.Join(t.TempDir(), "config")
	r.git("config", "--file", global, "filter.upper.clean", "tr a-z A-Z")
	r.git("config", "--remove-section", "filter.upper")
	t.Setenv("GIT_CONFIG_GLOBAL", global)
	if err := os.Chtimes(filepath.Join(r.dir, "a.up"), time.Time{}, time.Unix(commitTime, 0)); err != nil {
		t.Fatal(err)
	}
	if got := r.read(""); got.Dirty {
		t.Errorf("dirty, though the user's filter says that it isn't")
	}
	r.git("config", "filter.a=b.clean", "false")
	if _, err := Read(t.Context(), r.dir, r.dir, "v*"); err == nil || !strings.Contains(err.Error(), `"a=b"`) {
		t.Errorf("error %v of a filter that can't be turned off", err)
	}
}

// A submodule has a configuration of its own, and a file of it that is changed
// makes the whole dirty.
func TestSubmodule(t *testing.T) {
	r := newRepo(t)
	inner := repo{t, filepath.Join(t.TempDir(), "inner")}
	r.git("clone", "--quiet", r.dir, inner.dir)
	inner.write(".gitattributes", "*.x filter=x\n")
	inner.write("a.x", "content\n")
	inner.git("add", ".")
	inner.commit()
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "a sub")
	r.commit()
	r.git("tag", "v1.0.0")
	sub := repo{t, filepath.Join(r.dir, "a sub")}
	if got := r.read("").Version; got != "v1.0.0" {
		t.Errorf("version %s", got)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	sub.git("config", "filter.x.clean", "touch '"+ran+"'; cat")
	sub.git("config", "core.fsmonitor", "touch '"+ran+"'; false")
	if err := os.Chtimes(filepath.Join(sub.dir, "a.x"), time.Time{}, time.Unix(commitTime, 0)); err != nil {
		t.Fatal(err)
	}
	if got := r.read("").Version; got != "v1.0.0" {
		t.Errorf("version %s", got)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program of the submodule's ran")
	}
	sub.write("main.go", "package changed\n")
	if got := r.read("").Version; got != "v1.0.0-dirty" {
		t.Errorf("version %s with a change in the submodule", got)
	}
}

// Paths of submodules that lead back to the repository aren't followed.
func TestSubmoduleInItself(t *testing.T) {
	r := newRepo(t)
	if err := os.Symlink(".", filepath.Join(r.dir, "link")); err != nil {
		t.Skip(err)
	}
	r.write(".gitmodules", "[submodule \"a\"]\n\tpath = .\n[submodule \"b\"]\n\tpath = link\n")
	r.git("add", ".gitmodules", "link")
	r.commit()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if info, err := Read(ctx, r.dir, r.dir, "v*"); err != nil || info.Dirty {
		t.Errorf("got %+v, %v", info, err)
	}
}

// Hooks are run with variables that lead git to their repository.
func TestEnvironmentOfAHook(t *testing.T) {
	r := newRepo(t)
	r.git("tag", "v1.0.0")
	for _, variable := range strings.Fields(r.git("rev-parse", "--local-env-vars")) {
		t.Setenv(variable, "/nowhere")
	}
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "core.worktree")
	t.Setenv("GIT_CONFIG_VALUE_0", "/nowhere")
	t.Setenv("GIT_CONFIG_PARAMETERS", "'core.worktree'='/nowhere'")
	if got := r.read(""); got.Version != "v1.0.0" || got.Revision == "" {
		t.Errorf("%+v", got)
	}
}

func TestEnviron(t *testing.T) {
	trusted, rest := environ([]string{
		"PATH=/bin", "GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=/a", "GIT_CONFIG_KEY_1=core.pager",
		"GIT_CONFIG_VALUE_1=x", "GIT_CONFIG_KEY_2=Safe.Directory", "GIT_CONFIG_VALUE_2=*", "GIT_CONFIG_GLOBAL=/g", "GIT_CONFIG_PARAMETERS=x", "GIT_CONFIG=y",
	})
	if want := []string{"-c", "safe.directory=/a", "-c", "safe.directory=*"}; !slices.Equal(trusted, want) {
		t.Errorf("trusts %q, want %q", trusted, want)
	}
	if want := []string{"PATH=/bin", "GIT_CONFIG_GLOBAL=/g"}; !slices.Equal(rest, want) {
		t.Errorf("keeps %q, want %q", rest, want)
	}
	if trusted, _ := environ([]string{"GIT_CONFIG_COUNT=9999999999"}); len(trusted) > 0 {
		t.Errorf("trusts %q", trusted)
	}
}

// A clock that is wrong, or a tool that wrote nonsense.
func TestCommitTimes(t *testing.T) {
	for _, seconds := range []string{"0", "253402300800", "99999999999999", "9223372036854775807", "18446744073709551614"} {
		hermetic(t)
		r := repo{t, t.TempDir()}
		r.git("init", "--quiet", "--initial-branch=main")
		object := fmt.Sprintf("tree %s\nauthor a <a@b> 0 +0000\ncommitter a <a@b> %s +0000\n\nx\n", r.git("write-tree"), seconds)
		r.git("update-ref", "HEAD", r.feed(object, "hash-object", "-t", "commit", "-w", "--literally", "--stdin"))
		if got := r.read(""); len(got.Version) != 12 {
			t.Errorf("%s: %+v", seconds, got)
		}
	}
}
