package buildlib

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// saysDirty matches a tag that says that its image was built from uncommitted changes,
// as the version of a dirty checkout does.
var saysDirty = regexp.MustCompile(`(^|[-_.])dirty($|[-_.])`)

// forRegistries divides an image's tags into those that are published and those that
// are not: latest must not point to an image that nobody can rebuild. Layouts and
// engines, which are local, get all of them.
func (p *Plan) forRegistries(tags []string, dirty bool) (published, withheld []string) {
	published = []string{}
	for _, tag := range tags {
		if dirty && !p.AllowDirty && !saysDirty.MatchString(tag) {
			withheld = append(withheld, tag)
		} else {
			published = append(published, tag)
		}
	}
	return published, withheld
}

// hasTags returns an error if an image should have tags, and would be published
// without any.
func (p *Plan) hasTags(dirty bool) error {
	var mistakes []error
	for _, ip := range p.ImagePlans {
		tags := ip.allTags()
		published, withheld := p.forRegistries(tags, dirty)
		switch {
		case len(tags) == 0 && len(ip.EmptyTags) > 0:
			mistakes = append(mistakes, fmt.Errorf("image %s: all its tags render empty (%s), and nobody finds an index without one: add another to Tags or Overrides.Tags", ip.Name, strings.Join(ip.EmptyTags, ", ")))
		case len(ip.Repositories) > 0 && len(published) == 0 && len(withheld) > 0:
			mistakes = append(mistakes, fmt.Errorf("image %s: the checkout has uncommitted changes, and no tag says so (%s): commit them, let a tag hold {{.Version}}, which ends in -dirty, or set Overrides.AllowDirty", ip.Name, strings.Join(withheld, ", ")))
		}
	}
	return errors.Join(mistakes...)
}
