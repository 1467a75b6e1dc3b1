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

// tags has the names of a repository's tags by their commits.
type tags map[string][]string

// listTags lists a repository's tags. show-ref is the fastest command for many tags: it
// reads the commits of annotated tags from packed-refs.
func listTags(ctx context.Context, top string) (tags, error) {
	out, err := output(ctx, top, "show-ref", "--tags", "--dereference")
	if err = allowNotFound(err); err != nil {
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

// versionTag is a version and its tag.
type versionTag struct {
	semver.Version
	text string // as Info has it
	tag  string // without the module's prefix
	name string // the tag's whole name
}

// above reports whether v is higher than w. Equal versions (1.0.0, v1.0.0) are compared
// by their tags.
func (v versionTag) above(w versionTag) bool {
	return cmp.Or(semver.Compare(v.Version, w.Version), strings.Compare(v.name, w.name)) > 0
}

// lookalike matches a tag that ends in a full version, with or without a prefix.
var lookalike = regexp.MustCompile(`^(?:.*[^0-9A-Za-z.])?(v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?)$`)

// versions returns the highest version that matches pattern of each commit that has one.
func (all tags) versions(prefix, pattern string) map[string]versionTag {
	lead := literal.FindStringSubmatch(pattern)[1]
	return all.highest(func(name string) (versionTag, bool) {
		tag, own := strings.CutPrefix(name, prefix)
		if matches, _ := path.Match(pattern, tag); !own || !matches {
			return versionTag{}, false
		}
		for _, text := range []string{tag, strings.TrimPrefix(tag, lead)} {
			if v, ok := semver.Parse(text); ok {
				return versionTag{v, text, tag, name}, true
			}
		}
		return versionTag{}, false
	})
}

// lookalikes returns the highest of each commit's tags that look like versions.
func (all tags) lookalikes() map[string]versionTag {
	return all.highest(func(name string) (versionTag, bool) {
		m := lookalike.FindStringSubmatch(name)
		if m == nil {
			return versionTag{}, false
		}
		v, ok := semver.Parse(m[1])
		return versionTag{v, m[1], name, name}, ok
	})
}

// highest returns the highest version of each commit that has one. read finds the
// version in a tag's name.
func (all tags) highest(read func(name string) (versionTag, bool)) map[string]versionTag {
	found := map[string]versionTag{}
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

// without returns the tags that exclude doesn't report.
func (all tags) without(exclude func(name string) bool) tags {
	rest := tags{}
	for hash, list := range all {
		for _, name := range list {
			if !exclude(name) {
				rest[hash] = append(rest[hash], name)
			}
		}
	}
	return rest
}

// literal matches a pattern. Its group is the prefix of a version: release- in
// release-v*.
var literal = regexp.MustCompile(`^([^*?[\\]*?)(?:v?[0-9][0-9.]*|v)?(?:[*?[\\].*)?$`)

// otherModules returns a function that reports whether a tag belongs to a module in
// another folder.
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

// highest returns the name of the highest version; empty if there is none.
func highest(all map[string]versionTag) string {
	var h versionTag
	for _, n := range all {
		if h.name == "" || n.above(h) {
			h = n
		}
	}
	return h.name
}
