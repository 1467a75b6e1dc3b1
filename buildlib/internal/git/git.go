// Package git reads what a build needs to know of the repository it is in.
//
// Its files: command.go runs git, filter.go finds the programs that it must not
// run, mode.go reads the file modes that git keeps, worktree.go checks a commit out
// elsewhere, checkout.go finds the repository and looks for changes and ignored files,
// tags.go reads versions of tags, walk.go finds the nearest one, and git.go puts
// everything together.
//
// It runs no program that the checkout's own configuration names, and looks at
// no repository but the one that holds the folder.
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
	Version  string    // HEAD's, or the nearest ancestor's with -N-gHASH; else the hash; -dirty after it
	Revision string    // the commit's hash
	Tag      string    // the tag of HEAD that Version is made of, without the module's prefix
	Branch   string    // empty if HEAD is detached
	Dirty    bool      // whether tracked files differ from HEAD
	Time     time.Time // the commit time of HEAD; any year
	Source   string    // the origin remote as an https address; empty for a local one

	// Prefix is what the tags of the module start with: its folder in the
	// repository, with a slash.
	Prefix string
	// Unused are HEAD's tags if Version is of none of them.
	Unused []string
	// Other is a tag that looks like a version and doesn't match: one nearer than
	// that of Version, or the highest if none matches.
	Other string
	// Elsewhere is the highest tag that matches, if none leads to HEAD.
	Elsewhere string
	// Release is the highest version of a tag that matches and is no candidate, as
	// far as the clone has the tags; empty if there is none.
	Release string
	// Shallow is set in a shallow clone whose history has no version, so that
	// Version is only a hash though the full clone may have a better one.
	Shallow bool
	// Filters are the clean filters that weren't run because the checkout's own
	// configuration names them, if files that seem changed may not be.
	Filters []string
	// Untracked are the files, and the folders of such, that git neither
	// tracks nor ignores, absolute. They don't count as Dirty.
	Untracked []string

	// State is what Changes compares with.
	State State
}

// ErrNoGit is what Read returns when there is a repository and no git command.
var ErrNoGit = errors.New("there is a git repository, but no git command in PATH")

// Read reads the state of the checkout that holds dir. A folder in no
// repository, or in one without a commit, is the zero Info. module is the
// folder of the Go module: if it is below the repository's top, its versions
// are tagged PATH/VERSION, as Go's own are. What follows that in a tag has to
// match pattern (package path's).
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
		// An unborn branch has no history, and isn't an error: state tells.
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

// choose settles the version, and what there is to say of the tags that are not
// used. Those of other modules don't count for that, nor do the repository's
// own for a module in a folder that has some.
func (info *Info) choose(top, pattern string, all tags, history *walk) (err error) {
	head := history.head.hash
	versions := all.versions(info.Prefix, pattern)
	var release named
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

// tagPrefix returns what the tags of a module's versions start with: the path
// of its folder in the repository (Go modules reference, "Mapping versions to
// commits").
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
	is, untracked, err := look(ctx, top, conf, "normal")
	if err != nil {
		return err
	}
	info.State = is
	info.Revision, info.Branch, info.Dirty = is.Revision, is.Branch, len(is.Changed) > 0
	for _, name := range untracked {
		info.Untracked = append(info.Untracked, filepath.Join(top, filepath.FromSlash(name)))
	}
	if info.Dirty {
		info.Filters = conf.disabled
	}
	return nil
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
