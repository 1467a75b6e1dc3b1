package buildlib

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// checkReferences notes images that would be published under the same tag.
func (r *resolver) checkReferences() {
	owner := map[string]string{}
	for _, ip := range r.plan.ImagePlans {
		for _, repo := range ip.Repositories {
			for _, tag := range ip.allTags() {
				ref := repo + ":" + tag
				if other, ok := owner[ref]; ok && other != ip.Name { // else the duplicate name is noted
					fix := "give one of them other Tags, like {{.Version}}-alpine, or another Repository"
					if r.overrides.Tags != nil {
						fix = "Overrides.Tags are for every image: choose one of them by Overrides.Images"
					}
					r.mistake("Images", "%s and %s are both published as %s: %s", other, ip.Name, ref, fix)
				}
				owner[ref] = ip.Name
			}
		}
	}
}

// checkTags notes tags of more than one platform, or of a platform and the index.
func (r *resolver) checkTags(field string, ip ImagePlan) {
	targets := map[string]string{}
	for _, tag := range ip.Tags {
		targets[tag] = "the index of all platforms"
	}
	for _, pp := range ip.Platforms {
		for _, tag := range pp.Tags {
			if other, ok := targets[tag]; ok {
				r.mistake(field+".PlatformTags", "%q is the tag of %s and of %s: make it different, like {{.Version}}-{{.Arch}}{{.Variant}}", tag, other, pp.Platform)
			}
			targets[tag] = pp.Platform.String()
		}
	}
}

const noRepositoryName = "not a valid repository name: use lower-case letters and digits, with . _ or - between (OCI distribution spec, \"Pulling manifests\")"

// repositories are the full names of the image's repositories.
func (r *resolver) repositories(img draft) []string {
	field := img.field + ".Registries"
	if img.Registries == nil || r.overrides.Registries != nil {
		field = r.listField("Registries", r.overrides.Registries)
	}
	facts := r.facts.platformless()
	names, full := r.repositoryNames(img, facts)
	var repos []string
	for i, text := range first(r.overrides.Registries, img.Registries, r.project.Registries) {
		at := fmt.Sprintf("%s[%d]", field, i)
		registry, ok := r.render(at, text, facts)
		if registry = strings.TrimSuffix(registry, "/"); !ok || registry == "" && text != "" {
			continue
		}
		host, _, _ := strings.Cut(registry, "/")
		if strings.Contains(registry, "://") {
			r.mistake(at, "%q: leave out the scheme: registries speak https, and plain http if they are on the loopback interface or in Insecure", registry)
			continue
		}
		if !isHost(host) {
			r.mistake(at, "%q has no registry host: Docker Hub's is docker.io/%s", registry, registry)
			continue
		}
		for _, below := range names {
			repo := registry + "/" + below
			if _, err := name.NewRepository(repo, name.StrictValidation); err != nil {
				r.mistake(at, "%q does not make a valid repository name with %s: %w", registry, below, err)
				continue
			}
			repos = append(repos, repo)
		}
	}
	for _, twice := range duplicates(repos) {
		r.mistake(field, "%s is named twice", twice)
	}
	for _, alias := range full {
		if slices.Contains(repos, alias) {
			r.mistake(img.field+".Aliases", "%s is named twice: the image goes there already", alias)
			continue
		}
		repos = append(repos, alias)
	}
	return repos
}

// repositoryNames are the image's names below each registry, and the full names among
// its aliases, which registries in Overrides leave out.
func (r *resolver) repositoryNames(img draft, facts any) (names, full []string) {
	add := func(field, text string) {
		repository, ok := r.render(field, text, facts)
		switch host, _, inside := strings.Cut(repository, "/"); {
		case !ok || repository == "":
		case field != img.field+".Repository" && inside && isHost(host):
			if _, err := name.NewRepository(repository, name.StrictValidation); err != nil {
				r.mistake(field, "%q is not a valid repository name: %w", repository, err)
			} else if r.overrides.Registries == nil {
				full = append(full, repository)
			}
		case !repositoryName.MatchString(repository):
			r.mistake(field, "%q is %s", repository, noRepositoryName)
		case slices.Contains(names, repository):
			r.mistake(field, "%q is named twice: it is the image's Repository, or another alias", repository)
		default:
			names = append(names, repository)
		}
	}
	add(img.field+".Repository", img.Repository)
	if len(names) == 0 {
		names = []string{img.Name}
	}
	for i, alias := range img.Aliases {
		add(fmt.Sprintf("%s.Aliases[%d]", img.field, i), alias)
	}
	return names, full
}

// isHost reports whether the first element of a reference is the host of a registry, as
// Docker tells it from a part of a path on docker.io.
func isHost(element string) bool { return strings.ContainsAny(element, ".:") || element == "localhost" }

// tagsOf renders the tags of the image's index. empty are the templates that render
// empty.
func (r *resolver) tagsOf(img draft) (tags, empty []string) {
	if img.onlyPlatformTags() {
		return nil, nil
	}
	field := img.field + ".Tags"
	if img.Tags == nil || r.overrides.Tags != nil {
		field = r.listField("Tags", r.overrides.Tags)
	}
	texts := first(r.overrides.Tags, img.Tags, r.project.Tags, []string{"{{.Version}}"})
	return r.renderTags(field, texts, r.facts.platformless())
}

// platformTags renders the tags of the image for one platform. Overrides.Tags replace
// them if the image has no other tags.
func (r *resolver) platformTags(img draft, facts Facts) (tags, empty []string) {
	switch {
	case r.overrides.Tags == nil:
		return r.renderTags(img.field+".PlatformTags", img.PlatformTags, facts)
	case img.onlyPlatformTags():
		return r.renderTags(r.listField("Tags", r.overrides.Tags), r.overrides.Tags, facts)
	}
	return nil, nil
}

// onlyPlatformTags reports whether the index has no tags, but the platforms' images do.
func (img *Image) onlyPlatformTags() bool {
	return img.Tags != nil && len(img.Tags) == 0 && len(img.PlatformTags) > 0
}

// renderTags renders tags. The + of a version's build metadata is not valid in a tag,
// and becomes _, as in Helm.
func (r *resolver) renderTags(field string, texts []string, facts any) (tags, empty []string) {
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", field, i)
		tag, ok := r.render(at, text, facts)
		if !ok {
			continue
		}
		tag = strings.ReplaceAll(tag, "+", "_")
		if tag == "" {
			empty = append(empty, text)
			continue
		}
		if slices.Contains(tags, tag) {
			continue
		}
		if !tagName.MatchString(tag) {
			r.mistake(at, "%q is not a valid tag: use at most 128 letters, digits and . _ -, not starting with . or - (OCI distribution spec)", tag)
			continue
		}
		tags = append(tags, tag)
	}
	return tags, empty
}

// repository checks a field that is a repository or off, which override replaces.
func (r *resolver) repository(field, override, own, example string) string {
	repo := cmp.Or(override, own)
	if override != "" {
		field = "Overrides." + field
	}
	if repo == "" || repo == off {
		return ""
	}
	host, _, _ := strings.Cut(repo, "/")
	if _, err := name.NewRepository(repo, name.StrictValidation); err != nil || !isHost(host) {
		r.mistake(field, "%q is not a repository: want HOST/NAME, like %s, without a tag", repo, example)
		return ""
	}
	return repo
}

// off in place of a repository means none.
const off = "off"
