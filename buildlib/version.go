package buildlib

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/multimage/multimage/buildlib/internal/git"
	"github.com/multimage/multimage/buildlib/internal/semver"
)

// checkout asks git about the checkout. If git can't answer, that is only a warning: the
// project can be built, but images carry no revision, and without a version in Project or
// Overrides they can't be published.
func (r *resolver) checkout(ctx context.Context) error {
	pattern := cmp.Or(r.project.TagPattern, "v*")
	if _, err := path.Match(pattern, ""); err != nil {
		r.mistake("TagPattern", "%q is not a valid pattern: want one like v* or release-* (Go's path.Match)", pattern)
		pattern = "v*"
	}
	info, err := git.Read(ctx, r.plan.Dir, moduleDir(r.plan.Dir), pattern)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && r.givenVersion() == "":
		fix := "fix that"
		if errors.Is(err, git.ErrNoGit) {
			fix = "install git"
		}
		r.warn("the version is dev, and images carry no revision: %v: %s, or set Overrides.Version or Version", err, fix)
	case err != nil:
		r.warn("images carry no revision: %v", err)
	default:
		r.git = info
	}
	return nil
}

func (r *resolver) givenVersion() string { return cmp.Or(r.overrides.Version, r.project.Version) }

// maxEpoch is the last second of the year 9999, the last one that RFC 3339 can express.
const maxEpoch = 253402300799

// settleFacts determines the version, the epoch and the facts of templates.
func (r *resolver) settleFacts() {
	r.epoch()
	r.plan.Revision, r.plan.Dirty = r.git.Revision, r.git.Dirty
	f := Facts{
		Revision: r.git.Revision, ShortRevision: r.git.Revision[:min(12, len(r.git.Revision))],
		Tag: r.git.Tag, Branch: r.git.Branch, Dirty: r.git.Dirty, Date: r.plan.Epoch.Format(time.RFC3339),
	}
	given := r.givenVersion()
	switch {
	case given != "":
		version, err := render(given, f.versionless())
		r.check("Version", err)
		if err == nil && strings.TrimSpace(version) == "" {
			r.mistake("Version", "%q renders empty", given)
		}
		f.Version = version
	case r.git.Version != "":
		f.Version = r.git.Version
		r.warnOfTags()
	default:
		f.Version, r.plan.Unversioned = "dev", true
	}
	if len(r.git.Filters) > 0 {
		r.warn("the checkout counts as changed, and may not be: its own configuration names the filter %s, which is not run: run git status, or move the filter to your own configuration (git config --global)", strings.Join(r.git.Filters, ", "))
	}
	f.parse(r.git.Release)
	r.plan.Version, r.facts = f.Version, f
}

// epoch determines the time of images.
func (r *resolver) epoch() {
	r.plan.Epoch = time.Unix(0, 0).UTC()
	if !r.overrides.Epoch.IsZero() {
		r.plan.Epoch = r.overrides.Epoch.UTC()
		return
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil || seconds < 0 || seconds > maxEpoch {
			r.mistake("SOURCE_DATE_EPOCH", "%q is not a number of seconds since 1970", epoch)
			return
		}
		r.plan.Epoch = time.Unix(seconds, 0).UTC()
		return
	}
	if r.git.Time.IsZero() {
		return
	}
	if seconds := r.git.Time.Unix(); seconds < 0 || seconds > maxEpoch {
		r.warn("the commit's time is not between the years 1970 and 9999: images are dated 1970 (SOURCE_DATE_EPOCH sets another time)")
		return
	}
	r.plan.Epoch = r.git.Time
}

// warnOfTags names the tags that may have been meant as the version.
func (r *resolver) warnOfTags() {
	pattern, version := r.git.Prefix+cmp.Or(r.project.TagPattern, "v*"), r.git.Version
	if r.git.Shallow {
		r.warn("version %s is only a hash, because this shallow clone has no tag %s: fetch them (git fetch --unshallow --tags; with actions/checkout, fetch-depth: 0)", version, pattern)
	}
	switch {
	case len(r.git.Unused) > 0:
		tag, noun := r.git.Unused[len(r.git.Unused)-1], "tag"
		if len(r.git.Unused) > 1 {
			noun = "tags"
		}
		r.warn("the version is %s, though HEAD has the %s %s: %s", version, noun, strings.Join(r.git.Unused, ", "), r.whyUnused(tag, pattern))
	case r.git.Shallow: // tags that the clone lacks may be nearer
	case r.git.Other != "":
		r.warn("the version is %s, though there is the tag %s: %s", version, r.git.Other, r.whyUnused(r.git.Other, pattern))
	case r.git.Elsewhere != "":
		r.warn("version %s is only a hash, because no tag %s is on HEAD or before it, as %s is not: tag a commit of this branch, or set Overrides.Version or Version", version, pattern, r.git.Elsewhere)
	}
}

// versionAtEnd divides a tag into a prefix, v and the numbers of a version.
var versionAtEnd = regexp.MustCompile(`^(.*?)(v?)([0-9]+\.[0-9]+\.[0-9]+.*)$`)

// whyUnused says why a tag isn't the version, and what to do.
func (r *resolver) whyUnused(tag, pattern string) string {
	const otherwise = "or set Overrides.Version or Version"
	own, inside := strings.CutPrefix(tag, r.git.Prefix)
	if matches, _ := path.Match(cmp.Or(r.project.TagPattern, "v*"), own); inside && matches {
		return fmt.Sprintf("%s is not a semantic version (like v1.2.3): tag one, %s", tag, otherwise)
	}
	m := versionAtEnd.FindStringSubmatch(own)
	if m == nil {
		return fmt.Sprintf("tags of versions match %s: tag one, %s", pattern, otherwise)
	}
	if _, ok := semver.Parse(m[2] + m[3]); !ok {
		return fmt.Sprintf("tags of versions match %s, and are semantic versions (like v1.2.3): tag one, %s", pattern, otherwise)
	}
	if !inside {
		return fmt.Sprintf("tags of this module start with %s: tag %sv1.2.3, %s", r.git.Prefix, r.git.Prefix, otherwise)
	}
	return fmt.Sprintf("tags of versions match %s: set TagPattern to %q, %s", pattern, m[1]+m[2]+"*", otherwise)
}

// described matches what git describe appends to a version: the number of commits since
// it, and the current one.
var described = regexp.MustCompile(`(-[0-9]+-g[0-9a-f]{4,})?(-dirty)?$`)

// parse sets the parts of Version if it is a semantic version. Between two versions they
// are those of the earlier one. highest is the highest release that is tagged; it may be
// empty.
func (f *Facts) parse(highest string) {
	base := described.ReplaceAllString(f.Version, "")
	v, ok := semver.Parse(base)
	if !ok {
		return
	}
	f.Major, f.Minor, f.Patch, f.Prerelease = v.Major, v.Minor, v.Patch, v.Prerelease
	f.IsRelease = base == f.Version && v.Prerelease == "" && !f.Dirty
	h, ok := semver.Parse(highest)
	f.IsLatest = f.IsRelease && (!ok || semver.Compare(v, h) >= 0)
}
