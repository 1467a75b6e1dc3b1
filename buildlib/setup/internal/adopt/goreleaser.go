package adopt

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
)

// goreleaser's image sections (https://goreleaser.com/customization).
type goreleaser struct {
	ProjectName string `yaml:"project_name"`
	Builds      []goConfig
	Dockers     []struct {
		IDs            []string
		Goos, Goarch   string
		Goarm          string
		Dockerfile     string
		ImageTemplates []string `yaml:"image_templates"`
	}
	Manifests []struct {
		NameTemplate   string   `yaml:"name_template"`
		ImageTemplates []string `yaml:"image_templates"`
	} `yaml:"docker_manifests"`
	DockersV2 []struct {
		Dockerfile   string
		Images, Tags []string
		Platforms    []string
		Labels       map[string]string
	} `yaml:"dockers_v2"`
	Kos []struct {
		ID, Build           string
		BaseImage           string `yaml:"base_image"`
		Repository          string
		Repositories        []string
		Platforms, Tags     []string
		Labels              map[string]string
		Ldflags, Flags, Env list
	}
}

// goreleaser makes the images in goreleaser's configuration, and returns their
// Dockerfiles.
func (p *project) goreleaser() ([]string, error) {
	var g goreleaser
	name, err := p.readYAML(&g, ".goreleaser.yaml", ".goreleaser.yml", "goreleaser.yaml", "goreleaser.yml", ".config/goreleaser.yaml", ".config/goreleaser.yml")
	if name == "" || err != nil || len(g.Dockers)+len(g.DockersV2)+len(g.Kos) == 0 {
		return nil, err
	}
	p.note("%s: archives, checksums and packages stay with goreleaser. Take its image sections out once these are published.", name)
	if g.ProjectName == "" {
		g.ProjectName = "the project's name"
		if m := p.onlyMain(); m != nil {
			g.ProjectName = m.name
		}
	}
	defines := map[string]string{"ProjectName": g.ProjectName}
	programs, byID := map[string]*mainPackage{}, map[string]*mainPackage{}
	if len(g.Builds) == 0 {
		g.Builds = []goConfig{{}}
	}
	for _, b := range g.Builds {
		m := p.main(b)
		if m == nil {
			continue
		}
		m.use().Go = b.build(p.note, defines)
		executable := strings.ReplaceAll(cmp.Or(b.Binary, g.ProjectName), "{{ .ProjectName }}", g.ProjectName)
		programs[path.Base(executable)], byID[cmp.Or(b.ID, g.ProjectName)] = m, m
	}
	var taken []string
	add := func(i *image, dockerfile string, references []string) error {
		f, err := p.follow(dockerfile, programs)
		if err != nil {
			return err
		}
		i.Image, i.notes = f.img.Image, append(f.img.notes, i.notes...)
		i.from += " and " + dockerfile
		if !slices.Contains(taken, dockerfile) {
			taken = append(taken, dockerfile)
		}
		p.setReferences(i, references, defines)
		if i.Name == "" && len(i.Binaries) > 0 {
			i.Name = i.Binaries[0]
		}
		p.add(i, variant(dockerfile))
		return nil
	}
	// Dockers with the same Dockerfile and IDs are the platforms of one image.
	done := map[string]bool{}
	for _, d := range g.Dockers {
		d.Dockerfile = cmp.Or(d.Dockerfile, "Dockerfile")
		key := d.Dockerfile + strings.Join(d.IDs, " ")
		if done[key] {
			continue
		}
		done[key] = true
		i := &image{from: name + ", dockers"}
		var images, platforms, references []string
		for _, other := range g.Dockers {
			if cmp.Or(other.Dockerfile, "Dockerfile")+strings.Join(other.IDs, " ") == key {
				images = append(images, other.ImageTemplates...)
				platforms = append(platforms, platformOf(other.Goos, other.Goarch, other.Goarm))
			}
		}
		for _, m := range g.Manifests {
			if slices.ContainsFunc(m.ImageTemplates, func(t string) bool { return slices.Contains(images, t) }) {
				references = append(references, m.NameTemplate)
			}
		}
		if references == nil {
			references = images
		} else {
			i.note("goreleaser also tags each platform's image. If somebody uses these tags, set PlatformTags.")
		}
		if err := add(i, d.Dockerfile, references); err != nil {
			return nil, err
		}
		i.platforms(p, platforms)
	}
	for _, d := range g.DockersV2 {
		i := &image{from: name + ", dockers_v2"}
		references := []string{}
		for _, repository := range d.Images {
			for _, tag := range d.Tags {
				references = append(references, repository+":"+tag)
			}
		}
		if err := add(i, cmp.Or(d.Dockerfile, "Dockerfile"), references); err != nil {
			return nil, err
		}
		i.platforms(p, d.Platforms)
		i.labels(d.Labels, defines)
	}
	for _, k := range g.Kos {
		i := &image{from: name + ", kos"}
		m := byID[cmp.Or(k.Build, k.ID, g.ProjectName)]
		if m == nil {
			p.note("%s: kos %s is left out: its build wasn't found.", name, k.ID)
			continue
		}
		c := goConfig{Ldflags: k.Ldflags, Flags: k.Flags, Env: k.Env}
		before := m.use().Go
		p.koImage(i, m, c, k.BaseImage)
		if k.Ldflags == nil && k.Flags == nil && k.Env == nil {
			m.binary.Go = before
		}
		var references []string
		for _, repository := range append(k.Repositories, k.Repository) {
			for _, tag := range k.Tags {
				if repository != "" {
					references = append(references, strings.TrimSuffix(repository, "/")+"/"+i.Name+":"+tag)
				}
			}
		}
		p.setReferences(i, references, defines)
		i.platforms(p, k.Platforms)
		i.labels(k.Labels, defines)
	}
	return taken, nil
}

// platformOf is GOOS, GOARCH and GOARM as goreleaser defaults them.
func platformOf(goos, goarch, goarm string) string {
	platform := cmp.Or(goos, "linux") + "/" + cmp.Or(goarch, "amd64")
	if goarch == "arm" {
		platform += "/v" + cmp.Or(goarm, "6")
	}
	return platform
}

// platforms sets an image's platforms, and adds them to the project's.
func (i *image) platforms(p *project, platforms []string) {
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64", "linux/arm64"}
	}
	for _, platform := range platforms {
		if !slices.Contains(p.Platforms, platform) {
			p.Platforms = append(p.Platforms, platform)
		}
	}
	i.Platforms = platforms
}

func (i *image) labels(labels, defines map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) { // in order, as notes are
		i.setLabel(key, toTemplate(labels[key], defines, i.note))
	}
}

// setReferences takes an image's registries, name and tags from references.
func (p *project) setReferences(i *image, references []string, defines map[string]string) {
	var registries, tags []string
	for _, reference := range references {
		repository, tag := toTemplate(reference, defines, i.note), "{{.Version}}"
		if at := strings.LastIndex(repository, ":"); at > strings.LastIndex(action.ReplaceAllStringFunc(repository, func(s string) string { return strings.Repeat("x", len(s)) }), "/") {
			repository, tag = repository[:at], repository[at+1:]
		}
		dir, name := path.Split(repository)
		if dir = strings.TrimSuffix(dir, "/"); !strings.ContainsAny(dir, ".:") {
			dir = strings.TrimSuffix("docker.io/"+dir, "/")
		}
		i.Name = cmp.Or(i.Name, name)
		if full := dir + "/" + name; name != i.Name {
			if !slices.Contains(i.Aliases, full) {
				i.Aliases = append(i.Aliases, full)
			}
		} else if !slices.Contains(registries, dir) {
			registries = append(registries, dir)
		}
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	if p.Registries == nil {
		p.Registries = registries
	} else if !slices.Equal(p.Registries, registries) && registries != nil {
		i.Registries = registries
	}
	if p.Tags == nil {
		p.Tags = tags
	} else if !slices.Equal(p.Tags, tags) && tags != nil {
		i.Tags = tags
	}
}
