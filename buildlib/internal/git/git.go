// Package git reads what a build needs to know about its repository.
//
// Its files: command.go runs git, filter.go finds the programs that git must not
// run, mode.go reads the file modes in git's index, worktree.go checks out a commit in
// another folder, checkout.go finds the repository, its changes and ignored files, tags.go
// reads versions from tags, walk.go finds the nearest one, and git.go combines them.
//
// It runs no program that is named in the checkout's own configuration, and reads only
// the repository that contains the folder.
package git

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Info is the state of a checkout. The zero value is a folder without git.
type Info struct {
	Version  string    // HEAD's, or the nearest ancestor's with -N-gHASH, else the hash; may end in -dirty
	Revision string    // the commit's hash
	Tag      string    // the tag of HEAD that is the Version, without the module's prefix
	Branch   string    // empty if HEAD is detached
	Dirty    bool      // whether tracked files differ from HEAD
	Time     time.Time // the commit time of HEAD; any year
	Source   string    // the origin remote as an https address; empty for a local one

	// Prefix is the prefix of the module's tags: its folder in the repository, with a
	// slash.
	Prefix string
	// Unused are HEAD's tags if none of them is the Version.
	Unused []string
	// Other is a tag that looks like a version and doesn't match the pattern: one
	// nearer than Version's, or the highest if none matches.
	Other string
	// Elsewhere is the highest tag that matches, if neither HEAD nor an ancestor has one.
	Elsewhere string
	// Release is the highest version of a tag that matches and isn't a prerelease, among
	// the tags of the clone; empty if there is none.
	Release string
	// Shallow is set in a shallow clone whose history has no version. Version is then
	// only a hash, and may be better in a full clone.
	Shallow bool
	// Filters are the clean filters that weren't run because they are in the checkout's
	// own configuration. Because of them, files may seem changed.
	Filters []string
	// Untracked are the absolute paths of files, and folders with only such files, that
	// git neither tracks nor ignores. They don't make the checkout Dirty.
	Untracked []string

	// State is for Changes.
	State State
}

// ErrNoGit is what Read returns when there is a repository and no git command.
var ErrNoGit = errors.New("there is a git repository, but no git command in PATH")

// Read reads the state of the checkout that contains dir. Without a repository, or
// without a commit in it, it returns the zero Info. module is the folder of the Go module:
// if it is below the repository's top, its versions are tagged PATH/VERSION, as for the
// go command. The rest of a tag has to match pattern (path.Match).
func Read(ctx context.Context, dir, module, pattern string) (Info, error) {
	top, ok, err := find(dir)
	if err != nil || !ok {
		return Info{}, err
	}
	if _, err := exec.LookPath("git"); err != nil {
		return Info{}, ErrNoGit
	}
	info := Info{Prefix: tagPrefix(top, module), State: State{Top: top}}
	var all tags
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		all, err = listTags(gctx, top)
		return err
	})
	g.Go(func() error { return info.state(gctx, top) })
	history, err := newWalk(ctx, top)
	if err != nil {
		// An unborn branch has no history, which isn't an error. Then state found no commit.
		if failed := g.Wait(); failed != nil {
			return Info{}, failed
		}
		if info.Revision == "" {
			return Info{}, nil
		}
		return Info{}, err
	}
	defer history.close()
	if err := g.Wait(); err != nil {
		return Info{}, err
	}
	info.Revision, info.Time = history.head.hash, history.head.time
	if err := info.choose(top, pattern, all, history); err != nil {
		return Info{}, err
	}
	if info.Version == "" {
		info.Version = info.Revision[:12]
		shallow, err := output(ctx, top, "rev-parse", "--is-shallow-repository")
		if err != nil {
			return Info{}, err
		}
		info.Shallow = string(bytes.TrimSpace(shallow)) == "true"
	}
	if info.Dirty {
		info.Version += "-dirty"
	}
	return info, nil
}

// choose determines the version, and which tags aren't used. Tags of other modules are
// ignored, and so are tags without a prefix if a module in a folder has tags of its own.
func (info *Info) choose(top, pattern string, all tags, history *walk) (err error) {
	head := history.head.hash
	versions := all.versions(info.Prefix, pattern)
	var release versionTag
	for _, v := range versions {
		if v.Prerelease == "" && (release.name == "" || v.above(release)) {
			release = v
		}
	}
	info.Release = release.text
	if v, ok := versions[head]; ok {
		info.Version, info.Tag = v.text, v.tag
		return nil
	}
	others := all.without(otherModules(top, info.Prefix))
	if len(versions) > 0 && info.Prefix != "" {
		others = all.without(func(name string) bool { return !strings.HasPrefix(name, info.Prefix) })
	}
	info.Unused = slices.Sorted(slices.Values(others[head]))
	lookalikes := others.lookalikes()
	if len(versions) > 0 {
		if info.Version, info.Other, err = history.nearest(versions, lookalikes); err != nil || info.Version != "" {
			return err
		}
		info.Elsewhere = highest(versions)
		return nil
	}
	info.Other = highest(lookalikes)
	return nil
}

// tagPrefix returns the prefix of a module's tags: the path of its folder in the
// repository (Go modules reference, "Mapping versions to commits").
func tagPrefix(top, module string) string {
	module, err := filepath.EvalSymlinks(module)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(top, module)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return ""
	}
	return filepath.ToSlash(rel) + "/"
}

// state reads the branch, whether files are changed, and the remote. An unborn
// branch has no Revision.
func (info *Info) state(ctx context.Context, top string) error {
	conf, err := readConfig(ctx, top)
	if err != nil {
		return err
	}
	info.Source = source(conf.origin)
	state, untracked, err := status(ctx, top, conf, "normal")
	if err != nil {
		return err
	}
	info.State = state
	info.Revision, info.Branch, info.Dirty = state.Revision, state.Branch, len(state.Changed) > 0
	for _, name := range untracked {
		info.Untracked = append(info.Untracked, filepath.Join(top, filepath.FromSlash(name)))
	}
	if info.Dirty {
		info.Filters = conf.disabled
	}
	return nil
}

// scp matches the short form of an ssh address, user@host:path, which isn't a URL. It
// doesn't match a second colon, which runs a helper, nor an @ in the path, which may
// follow a password.
var scp = regexp.MustCompile(`^(?:[^@/:]+@)?([^@/:]{2,}):([^@/\\:][^@]*)$`)

// source converts a remote's address to one for people: https, without credentials or
// ".git". It is empty for a local remote, whose path is of the build machine.
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
