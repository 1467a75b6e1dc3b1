package git

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/semver"
)

// tags are a repository's, by the commit that they lead to.
type tags map[string][]string

// listTags lists them. Of all commands that do, this one is quickest with many:
// it takes what annotated tags lead to from where git keeps it beside them.
func listTags(ctx context.Context, top string) (tags, error) {
	out, err := output(ctx, top, "show-ref", "--tags", "--dereference")
	if err = found(err); err != nil {
		return nil, err
	}
	target := map[string]string{} // of a tag
	for line := range strings.Lines(string(bytes.TrimSpace(out))) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		// An annotated tag's commit follows the tag's own hash.
		target[strings.TrimSuffix(strings.TrimPrefix(ref, "refs/tags/"), "^{}")] = hash
	}
	all := tags{}
	for tag, hash := range target {
		all[hash] = append(all[hash], tag)
	}
	return all, nil
}

// named is a version and its tag.
type named struct {
	semver.Version
	text string // as Info has it
	tag  string // without the module's prefix
	name string // the tag's whole name
}

// above reports whether n is the higher. Of equal ones (1.0.0, v1.0.0) it takes
// always the same.
func (n named) above(m named) bool {
	return cmp.Or(semver.Compare(n.Version, m.Version), strings.Compare(n.name, m.name)) > 0
}

// lookalike is a tag that ends in a whole version, behind a name or without.
var lookalike = regexp.MustCompile(`^(?:.*[^0-9A-Za-z.])?(v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?)$`)

// versions are the highest version of each commit that has one that matches.
func (all tags) versions(prefix, pattern string) map[string]named {
	lead := literal.FindStringSubmatch(pattern)[1]
	return all.highest(func(name string) (named, bool) {
		tag, own := strings.CutPrefix(name, prefix)
		if matches, _ := path.Match(pattern, tag); !own || !matches {
			return named{}, false
		}
		for _, text := range []string{tag, strings.TrimPrefix(tag, lead)} {
			if v, ok := semver.Parse(text); ok {
				return named{v, text, tag, name}, true
			}
		}
		return named{}, false
	})
}

// lookalikes are the highest of the tags of each commit that look like versions.
func (all tags) lookalikes() map[string]named {
	return all.highest(func(name string) (named, bool) {
		m := lookalike.FindStringSubmatch(name)
		if m == nil {
			return named{}, false
		}
		v, ok := semver.Parse(m[1])
		return named{v, m[1], name, name}, ok
	})
}

// highest are the highest version of each commit that has some, as read finds
// them in the tags' names.
func (all tags) highest(read func(name string) (named, bool)) map[string]named {
	found := map[string]named{}
	for hash, list := range all {
		for _, name := range list {
			n, ok := read(name)
			if before, has := found[hash]; ok && (!has || n.above(before)) {
				found[hash] = n
			}
		}
	}
	return found
}

// without leaves out tags, and commits that then have none.
func (all tags) without(out func(name string) bool) tags {
	rest := tags{}
	for hash, list := range all {
		for _, name := range list {
			if !out(name) {
				rest[hash] = append(rest[hash], name)
			}
		}
	}
	return rest
}

// literal is a pattern, and what the tags that it matches have before the
// version: release- of release-v*.
var literal = regexp.MustCompile(`^([^*?[\\]*?)(?:v?[0-9][0-9.]*|v)?(?:[*?[\\].*)?$`)

// otherModules reports of a tag whether it is of a module in another folder.
func otherModules(top, prefix string) func(name string) bool {
	modules := map[string]bool{".": false, path.Clean(prefix): false}
	return func(name string) bool {
		folder := path.Dir(name)
		is, ok := modules[folder]
		if !ok {
			_, err := os.Stat(filepath.Join(top, filepath.FromSlash(folder), "go.mod"))
			is = err == nil
			modules[folder] = is
		}
		return is
	}
}

// highest is the name of the highest of all; empty if there is none.
func highest(all map[string]named) string {
	var h named
	for _, n := range all {
		if h.name == "" || n.above(h) {
			h = n
		}
	}
	return h.name
}
