package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multimage/multimage/buildlib"
)

// readYAML reads the first of the files that there is, and returns its name.
func (p *project) readYAML(into any, names ...string) (string, error) {
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = yaml.Unmarshal(data, into)
		}
		if err != nil {
			return name, fmt.Errorf("%s: %w", name, err)
		}
		return name, nil
	}
	return "", nil
}

// list is a YAML list, or one string.
type list []string

func (l *list) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*l = list{node.Value}
		return nil
	}
	return node.Decode((*[]string)(l))
}

// goConfig is how ko and goreleaser say that go builds a program.
type goConfig struct {
	ID, Dir, Main, Binary string
	Flags, Ldflags, Env   list
	Tags                  list
}

// build is c as a GoBuild, without what multimage does anyway. What it can't say
// goes to note.
func (c goConfig) build(note func(string, ...any), defines map[string]string) buildlib.GoBuild {
	b := buildlib.GoBuild{Ldflags: toTemplate(strings.Join(c.Ldflags, " "), defines, note)}
	flags := append([]string{}, c.Flags...)
	for _, tag := range c.Tags {
		b.Tags = append(b.Tags, toTemplate(tag, defines, note))
	}
	for _, flag := range flags {
		switch name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "="); {
		case name == "trimpath" || name == "v" || name == "a" || name == "buildvcs":
		case name == "tags" && value != "":
			b.Tags = append(b.Tags, strings.Split(value, ",")...)
		case name == "ldflags" && value != "":
			b.Ldflags = strings.TrimSpace(b.Ldflags + " " + value)
		default:
			b.Flags = append(b.Flags, toTemplate(flag, defines, note))
		}
	}
	for _, variable := range c.Env {
		switch name, value, _ := strings.Cut(variable, "="); {
		case name == "CGO_ENABLED" && value != "0":
			note("%s is not carried over: name C compilers in Go.CGO for that.", variable)
		case name == "CGO_ENABLED" || strings.HasPrefix(name, "GOOS") || strings.HasPrefix(name, "GOARCH") || name == "GO111MODULE" || name == "GOFLAGS":
		default:
			b.Env = append(b.Env, toTemplate(variable, defines, note))
		}
	}
	return b
}

// main is the main package that c builds.
func (p *project) main(c goConfig) *mainPackage {
	at := path.Join(c.Dir, c.Main)
	if strings.HasSuffix(at, ".go") {
		at = path.Dir(at)
	}
	if m := p.mainAt(at); m != nil {
		return m
	}
	for n := range p.mains {
		if p.mains[n].importPath == c.Main {
			return &p.mains[n]
		}
	}
	return nil
}

// ko makes images as .ko.yaml says (https://ko.build/configuration).
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
		p.note("%s is left out: a Dockerfile or goreleaser says what the images are.", name)
		return nil
	}
	if len(k.Platforms) > 0 && !slices.Contains(k.Platforms, "all") {
		p.Platforms = k.Platforms
	}
	p.note("ko appends a hash to names and tags images latest, unless it is told otherwise: these are named as their program, with the version as tag.")
	for n := range p.mains {
		m := &p.mains[n]
		if m.aside() || !m.found && len(k.Builds) == 0 {
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
		p.koImage(i, m, c, firstOf(k.Overrides[m.importPath], k.Base))
	}
	return nil
}

// koImage makes the image that ko makes of a main package.
func (p *project) koImage(i *image, m *mainPackage, c goConfig, base string) {
	b := m.use()
	b.Go = c.build(i.note, nil)
	i.Name, i.Binaries, i.BinDir = b.Name, []string{b.Name}, "/ko-app"
	i.Base = firstOf(base, "cgr.dev/chainguard/static:latest")
	if data := path.Join(m.dir, "kodata"); p.isDir(data) {
		i.Files = append(i.Files, buildlib.File{Source: data, Path: "/var/run/ko"})
		i.Env = append(i.Env, "KO_DATA_PATH=/var/run/ko")
	}
	p.add(i, "")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
