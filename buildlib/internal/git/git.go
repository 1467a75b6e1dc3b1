// Package git reads what a build needs to know of the repository it is in.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Info is the state of a checkout. The zero value is a folder without git.
type Info struct {
	Version  string    // git describe, the tag's prefix stripped
	Revision string    // the commit's hash
	Tag      string    // the tag that HEAD has, its prefix stripped
	Dirty    bool      // whether tracked files differ from HEAD
	Time     time.Time // the commit time of HEAD
	Source   string    // the origin remote as an https address; empty for a local one
	// Shallow is set in a shallow clone whose history has no tag, so that
	// Version is only a hash though the full clone may have a better one.
	Shallow bool
}

// ErrNoGit is what Read returns when there is a repository and no git command.
var ErrNoGit = errors.New("there is a git repository, but no git command in PATH")

// Read reads the state of the checkout that holds dir. A folder in no
// repository, or in one without a commit, is the zero Info. module is the
// folder of the Go module: if it is below the repository's top, its versions
// are the tags PATH/v*, as Go's own are.
func Read(ctx context.Context, dir, module string) (Info, error) {
	top, ok := find(dir)
	if !ok {
		return Info{}, nil
	}
	if _, err := exec.LookPath("git"); err != nil {
		return Info{}, ErrNoGit
	}
	if _, err := run(ctx, dir, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil {
		// Silent failure means an unborn branch; others say what is wrong.
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(bytes.TrimSpace(exit.Stderr)) == 0 {
			return Info{}, nil
		}
		return Info{}, err
	}
	prefix, err := tagPrefix(top, module)
	if err != nil {
		return Info{}, err
	}
	head, err := run(ctx, dir, "log", "-1", "--no-show-signature", "--format=%H %ct")
	if err != nil {
		return Info{}, err
	}
	hash, seconds, _ := strings.Cut(head, " ")
	epoch, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("git log: unexpected commit time %q", seconds)
	}
	// A * matches slashes, too: without the exclusion validator/v1.0.0 is one
	// of the tags v*.
	describe, err := run(ctx, dir, "describe", "--tags", "--match", prefix+"v*", "--exclude", prefix+"v*/*",
		"--always", "--dirty", "--abbrev=12", "--long")
	if err != nil {
		return Info{}, err
	}
	info := Info{Revision: hash, Time: time.Unix(epoch, 0).UTC()}
	info.Version, info.Tag, info.Dirty = parse(describe, prefix)
	// A missing remote is no error: git says so with a status alone.
	if remote, err := run(ctx, dir, "config", "--get", "remote.origin.url"); err == nil {
		info.Source = source(remote)
	}
	if !tagged.MatchString(describe) {
		shallow, err := run(ctx, dir, "rev-parse", "--is-shallow-repository")
		if err != nil {
			return Info{}, err
		}
		info.Shallow = shallow == "true"
	}
	return info, nil
}

// find looks for the folder that has .git, which is a file in a worktree or
// submodule, from dir upwards.
func find(dir string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// tagPrefix returns what the tags of a module's versions start with: the path
// of its folder in the repository (Go modules reference, "Mapping versions to
// commits").
func tagPrefix(top, module string) (string, error) {
	if module == "" {
		return "", nil
	}
	real, err := filepath.EvalSymlinks(top)
	if err != nil {
		return "", err
	}
	if module, err = filepath.EvalSymlinks(module); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(real, module)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return "", nil
	}
	return filepath.ToSlash(rel) + "/", nil
}

// tagged is the tail of git describe --long --dirty when there is a tag.
var tagged = regexp.MustCompile(`-(\d+)-g[0-9a-f]+(-dirty)?$`)

// parse takes git describe --long apart: the version is what describe says
// without --long.
func parse(describe, prefix string) (version, tag string, dirty bool) {
	dirty = strings.HasSuffix(describe, "-dirty")
	m := tagged.FindStringSubmatchIndex(describe)
	if m == nil {
		return describe, "", dirty
	}
	name := strings.TrimPrefix(describe[:m[0]], prefix)
	if describe[m[2]:m[3]] != "0" {
		return name + describe[m[0]:], "", dirty
	}
	if dirty {
		return name + "-dirty", name, true
	}
	return name, name, false
}

// scp is the short form of an ssh address, user@host:path, which no URL is. One
// with a second colon runs a helper, and an @ in the path follows what somebody
// took for a password.
var scp = regexp.MustCompile(`^(?:[^@/:]+@)?([^@/:]{2,}):([^@/\\:][^@]*)$`)

// source turns a remote's address into one for people: https, without
// credentials or ".git". A remote that is not on a network gives nothing,
// because its path would name the build machine.
func source(remote string) string {
	host, path := "", ""
	if m := scp.FindStringSubmatch(remote); m != nil {
		host, path = m[1], m[2]
	} else if u, err := url.Parse(remote); err == nil {
		switch u.Scheme {
		case "https", "http":
			host, path = u.Host, u.Path
		case "ssh", "git", "git+ssh", "ssh+git":
			host, path = u.Hostname(), u.Path
		}
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if host == "" || path == "" {
		return ""
	}
	return "https://" + host + "/" + path
}

func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	// Optional locks would let a status refresh fight with the user's git.
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(bytes.TrimSpace(exit.Stderr)) > 0 {
			return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
