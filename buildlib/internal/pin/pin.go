// Package pin writes digests into the YAML files of deployments, and changes no other
// byte. Its files: scan finds the mappings in a text, pin changes them.
package pin

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Image is a published image in one repository.
type Image struct {
	Name       string
	Repository string
	Tag        string            // replaces tags that aren't in Digests; may be empty
	Digest     string            // what Tag points to
	Digests    map[string]string // by tag
}

// Change is a reference that was written.
type Change struct {
	Line     int // from 1
	From, To string
}

// edit replaces text[start:end].
type edit struct {
	start, end int
	text       string
}

type pinner struct {
	file     string
	text     string
	images   []Image
	edits    []edit
	changes  []Change
	mistakes []error
}

// Rewrite returns the text of file with the digests of images: in `image: REFERENCE`,
// and in mappings with repository, tag and digest, as in Helm charts. Images in other
// registries aren't changed. An image that looks like one of images and isn't, or that is
// written in another way, is an error with the file, the line and how to fix it.
func Rewrite(file, text string, images []Image) (string, []Change, error) {
	p := pinner{file: file, text: text, images: images}
	mappings, skipped := scan(text)
	for _, m := range mappings {
		for _, e := range m {
			if e.key == "image" && e.simple && e.value != "" {
				p.pinReference(e)
			}
		}
		if e, ok := m.get("repository"); ok && e.simple && e.value != "" {
			p.pinMapping(m, e)
		}
	}
	p.checkRest(skipped)
	if len(p.changes) == 0 && len(p.mistakes) == 0 {
		p.mistakes = append(p.mistakes, fmt.Errorf("%s: it names none of the published images: write one of them, like image: %s", file, images[0].Repository))
	}
	slices.SortFunc(p.changes, func(a, b Change) int { return a.Line - b.Line })
	return p.apply(), p.changes, errors.Join(p.mistakes...)
}

func (p *pinner) mistake(line int, format string, args ...any) {
	p.mistakes = append(p.mistakes, fmt.Errorf("%s:%d: %w", p.file, line, fmt.Errorf(format, args...)))
}

// pinReference pins image: REFERENCE.
func (p *pinner) pinReference(e entry) {
	repo, tag, digest := split(e.value)
	img, ok := p.find(e.line, repo, digest)
	if !ok {
		return
	}
	tag, digest = img.pinned(tag)
	to := repo
	if tag != "" {
		to += ":" + tag
	}
	p.replace(e, to+"@"+digest)
	p.changes = append(p.changes, Change{e.line, e.value, to + "@" + digest})
}

// pinMapping pins a mapping with repository, tag and digest; e is the repository.
func (p *pinner) pinMapping(m mapping, e entry) {
	repo := e.value
	if host, ok := m.get("registry"); ok && host.value != "" {
		repo = host.value + "/" + repo
	}
	tag, hasTag := m.get("tag")
	digest, hasDigest := m.get("digest")
	oldTag, tagDigest, _ := strings.Cut(tag.value, "@")
	img, ok := p.find(e.line, repo, cmp.Or(digest.value, tagDigest))
	switch {
	case !ok:
		return
	case !hasTag && !hasDigest:
		p.mistake(e.line, "repository %s has neither a tag nor a digest beside it: add digest: \"\"", repo)
		return
	case hasTag && !tag.simple || hasDigest && !digest.simple:
		p.mistake(e.line, "the tag or digest of repository %s is not plain text on one line: write it like that", repo)
		return
	}
	newTag, newDigest := img.pinned(oldTag)
	to := repo
	if hasTag && newTag != "" {
		to += ":" + newTag
	}
	switch {
	case hasDigest:
		p.replace(digest, newDigest)
		if hasTag {
			p.replace(tag, newTag)
		}
	case newTag == "":
		p.mistake(tag.line, "image %s was published without a tag: write digest: \"\" instead of tag", img.Name)
		return
	default:
		p.replace(tag, newTag+"@"+newDigest)
	}
	p.changes = append(p.changes, Change{e.line, e.value, to + "@" + newDigest})
}

// find returns the image of a repository. A similar repository is noted as a mistake,
// unless it is pinned by a digest.
func (p *pinner) find(line int, repo, digest string) (Image, bool) {
	if strings.ContainsAny(repo, "{}$ ") {
		return Image{}, false // a template of another program
	}
	var near []string
	for _, img := range p.images {
		if canonical(img.Repository) == canonical(repo) {
			return img, true
		}
		near = append(near, img.Repository)
	}
	if digest != "" {
		return Image{}, false
	}
	for _, img := range p.images {
		if repo == img.Name {
			p.mistake(line, "image %s is published as %s: write that", repo, img.Repository)
			return Image{}, false
		}
	}
	for _, img := range p.images {
		if path.Dir(canonical(img.Repository)) != path.Dir(canonical(repo)) {
			continue
		}
		fix := "there are " + strings.Join(near, ", ")
		if similar := wording.Nearest(repo, near); similar != "" {
			fix = "did you mean " + similar + "?"
		}
		p.mistake(line, "%s is not among the published images: %s (if it is another project's, pin it yourself: %s@sha256:...)", repo, fix, repo)
		return Image{}, false
	}
	return Image{}, false
}

// pinned returns the new tag and its digest. The tag stays the same if it was published.
func (i Image) pinned(tag string) (string, string) {
	if digest, ok := i.Digests[tag]; ok {
		return tag, digest
	}
	return i.Tag, i.Digest
}

// checkRest notes published images where nothing was replaced.
func (p *pinner) checkRest(skipped map[int]bool) {
	offset, n := 0, 0
	for line := range strings.Lines(p.text) {
		n++
		trimmed := strings.TrimSpace(line)
		for _, img := range p.images {
			at := strings.Index(line, img.Repository)
			if at < 0 || strings.HasPrefix(trimmed, "#") || at > strings.Index(line, " #") && strings.Contains(line, " #") {
				continue
			}
			after := line[at+len(img.Repository):]
			done := slices.ContainsFunc(p.edits, func(e edit) bool { return e.start <= offset+at && offset+at < e.end })
			if done || after == "" || after[0] != ':' && after[0] != '@' || strings.Contains(after, "@"+img.Digest) {
				continue
			}
			why := "not written as image: REFERENCE"
			if skipped[n] {
				why = "in text of several lines"
			}
			p.mistake(n, "%s is %s, which is not rewritten: make the file with Render, or write %s@%s yourself", img.Repository, why, img.Repository, img.Digest)
		}
		offset += len(line)
	}
}

func (p *pinner) replace(e entry, text string) {
	switch {
	case e.plain && e.start == e.end: // no value, and maybe no space after the colon
		if p.text[e.start-1] == ':' {
			text = " " + quoted(text)
		} else {
			text = quoted(text)
		}
		if e.start < len(p.text) && p.text[e.start] == '#' {
			text += " "
		}
	case e.plain:
		text = quoted(text)
	}
	p.edits = append(p.edits, edit{e.start, e.end, text})
}

// quoted returns a scalar for text: plain, or in quotes if that wouldn't be read as a
// string (YAML 1.2, 10.3.2; and YAML 1.1, whose booleans and dates many still read).
func quoted(text string) string {
	number := text != "" && text[0] >= '0' && text[0] <= '9' && !strings.ContainsAny(text, "/@")
	if number || slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}, strings.ToLower(text)) {
		return `"` + text + `"`
	}
	return text
}

func (p *pinner) apply() string {
	slices.SortFunc(p.edits, func(a, b edit) int { return a.start - b.start })
	var out strings.Builder
	last := 0
	for _, e := range p.edits {
		out.WriteString(p.text[last:e.start] + e.text)
		last = e.end
	}
	return out.String() + p.text[last:]
}

// split divides a reference into its parts.
func split(ref string) (repo, tag, digest string) {
	repo, digest, _ = strings.Cut(ref, "@")
	if colon := strings.LastIndexByte(repo, ':'); colon > strings.LastIndexByte(repo, '/') {
		repo, tag = repo[:colon], repo[colon+1:]
	}
	return repo, tag, digest
}

// canonical returns a repository with its registry.
func canonical(repo string) string {
	host, rest, ok := strings.Cut(repo, "/")
	switch {
	case !ok:
		return "docker.io/library/" + repo
	case host == "index.docker.io":
		return "docker.io/" + rest
	case host != "localhost" && !strings.ContainsAny(host, ".:"):
		return "docker.io/" + repo
	}
	return repo
}
