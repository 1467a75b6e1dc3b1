package buildlib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// checkReferences notes images that would take a tag from each other.
func (r *resolver) checkReferences() {
	owner := map[string]string{}
	for _, ip := range r.plan.ImagePlans {
		for _, repo := range ip.Repositories {
			for _, tag := range ip.Tags {
				ref := repo + ":" + tag
				if other, ok := owner[ref]; ok && other != ip.Name { // else that is noted
					r.mistake("Images", "%s and %s are both published as %s: give one of them other Tags, like {{.Version}}-alpine, or another Repository", other, ip.Name, ref)
				}
				owner[ref] = ip.Name
			}
		}
	}
}

const noRepositoryName = "not a valid repository name: use lower-case letters and digits, with . _ or - between (OCI distribution spec, \"Pulling manifests\")"

// repositories are the image's names at its registries.
func (r *resolver) repositories(img draft) []string {
	field := img.field + ".Registries"
	if img.Registries == nil || r.over.Registries != nil {
		field = r.named("Registries", r.over.Registries)
	}
	facts := r.tags.platformless()
	below := img.Name
	if img.Repository != "" {
		repository, ok := r.render(img.field+".Repository", img.Repository, facts)
		if ok && !repositoryName.MatchString(repository) {
			r.mistake(img.field+".Repository", "%q is %s", repository, noRepositoryName)
		} else if ok {
			below = repository
		}
	}
	var repos []string
	for i, text := range first(r.over.Registries, img.Registries, r.project.Registries) {
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
		if !strings.ContainsAny(host, ".:") && host != "localhost" {
			r.mistake(at, "%q has no registry host: Docker Hub's is docker.io/%s", registry, registry)
			continue
		}
		repo := registry + "/" + below
		if _, err := name.NewRepository(repo, name.StrictValidation); err != nil {
			r.mistake(at, "%q does not make a valid repository name with %s: %w", registry, below, err)
			continue
		}
		repos = append(repos, repo)
	}
	for _, twice := range duplicates(repos) {
		r.mistake(field, "%s is named twice", twice)
	}
	return repos
}

// tagsOf renders the image's tags, and returns the templates of those that are
// empty, too. The + of a version's build metadata can't
// be in a tag and becomes _, as Helm does it.
func (r *resolver) tagsOf(img draft) (tags, empty []string) {
	field := img.field + ".Tags"
	if img.Tags == nil || r.over.Tags != nil {
		field = r.named("Tags", r.over.Tags)
	}
	for i, text := range first(r.over.Tags, img.Tags, r.project.Tags, []string{"{{.Version}}"}) {
		at := fmt.Sprintf("%s[%d]", field, i)
		tag, ok := r.render(at, text, r.tags.platformless())
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
