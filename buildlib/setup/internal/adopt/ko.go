package adopt

import (
	"cmp"
	"path"
	"slices"

	"github.com/multimage/multimage/buildlib"
)

// ko makes images from .ko.yaml (https://ko.build/configuration).
func (p *project) ko() error {
	var k struct {
		Base      string            `yaml:"defaultBaseImage"`
		Overrides map[string]string `yaml:"baseImageOverrides"`
		Platforms list              `yaml:"defaultPlatforms"`
		Env       list              `yaml:"defaultEnv"`
		Flags     list              `yaml:"defaultFlags"`
		Ldflags   list              `yaml:"defaultLdflags"`
		Builds    []goConfig
	}
	name, err := p.readYAML(&k, ".ko.yaml", ".ko.yml")
	if name == "" || err != nil {
		return err
	}
	if len(p.images) > 0 {
		p.note("%s is left out: the images are those of a Dockerfile or goreleaser.", name)
		return nil
	}
	if len(k.Platforms) > 0 && !slices.Contains(k.Platforms, "all") {
		p.Platforms = k.Platforms
	}
	p.note("By default ko appends a hash to names, and tags images latest. These images have the names of their programs, and the version as tag.")
	for n := range p.mains {
		m := &p.mains[n]
		if m.auxiliary() || !m.found && len(k.Builds) == 0 {
			continue
		}
		i := &image{from: name}
		c := goConfig{Env: k.Env, Flags: k.Flags, Ldflags: k.Ldflags}
		for _, b := range k.Builds {
			if p.main(b) != m {
				continue
			}
			if b.Flags != nil {
				c.Flags = b.Flags
			}
			if b.Ldflags != nil {
				c.Ldflags = b.Ldflags
			}
			if b.Env != nil {
				c.Env = b.Env
			}
		}
		p.koImage(i, m, c, cmp.Or(k.Overrides[m.importPath], k.Base))
	}
	return nil
}

// koImage makes the image that ko would make of a main package.
func (p *project) koImage(i *image, m *mainPackage, c goConfig, base string) {
	b := m.use()
	b.Go = c.build(i.note, nil)
	i.Name, i.Binaries, i.BinDir = b.Name, []string{b.Name}, "/ko-app"
	i.Base = cmp.Or(base, "cgr.dev/chainguard/static:latest")
	if data := path.Join(m.dir, "kodata"); p.isDir(data) {
		i.Files = append(i.Files, buildlib.File{Source: data, Path: "/var/run/ko"})
		i.Env = append(i.Env, "KO_DATA_PATH=/var/run/ko")
	}
	p.add(i, "")
}
