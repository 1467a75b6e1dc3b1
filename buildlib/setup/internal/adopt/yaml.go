package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multimage/multimage/buildlib"
)

// readYAML reads the first of the files that exists, and returns its name, or an empty
// one.
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

// goConfig is a build in the configuration of ko or goreleaser.
type goConfig struct {
	ID, Dir, Main, Binary string
	Flags, Ldflags, Env   list
	Tags                  list
}

// build converts c, without what multimage does anyway. It notes what it can't convert.
func (c goConfig) build(note func(string, ...any), defines map[string]string) buildlib.GoBuild {
	b := buildlib.GoBuild{Ldflags: toTemplate(strings.Join(c.Ldflags, " "), defines, note)}
	for _, tag := range c.Tags {
		b.Tags = append(b.Tags, toTemplate(tag, defines, note))
	}
	for _, flag := range c.Flags {
		flag = toTemplate(flag, defines, note)
		switch name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "="); {
		case name == "trimpath" || name == "v" || name == "a" || name == "buildvcs":
		case name == "tags" && value != "":
			b.Tags = append(b.Tags, strings.Split(value, ",")...)
		case name == "ldflags" && value != "":
			b.Ldflags = strings.TrimSpace(b.Ldflags + " " + value)
		default:
			b.Flags = append(b.Flags, flag)
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

// main returns the main package that c builds, nil if there is none.
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

// action matches the actions of a template.
var action = regexp.MustCompile(`\{\{.*?\}\}`)

var field = regexp.MustCompile(`\.([A-Z][A-Za-z]*(?:\.[A-Z][A-Za-z_]*)?)`)

// facts are multimage's facts by their names in goreleaser and ko.
var facts = map[string]string{
	"Version": `(.Version | trimPrefix "v")`, "RawVersion": `(.Version | trimPrefix "v")`, "Tag": ".Version",
	"Major": ".Major", "Minor": ".Minor", "Patch": ".Patch", "Prerelease": ".Prerelease", "Branch": ".Branch",
	"FullCommit": ".Revision", "Commit": ".Revision", "ShortCommit": ".ShortRevision",
	"Date": ".Date", "CommitDate": ".Date", "Os": ".OS", "Arch": ".Arch",
	"Git.Tag": ".Version", "Git.Branch": ".Branch", "Git.FullCommit": ".Revision", "Git.ShortCommit": ".ShortRevision", "Git.CommitDate": ".Date",
}

// toTemplate translates a template of goreleaser or ko.
func toTemplate(text string, defines map[string]string, note func(string, ...any)) string {
	return action.ReplaceAllStringFunc(text, func(action string) string {
		lost := ""
		inner := strings.TrimSpace(strings.Trim(action, "{}-"))
		whole := field.FindString(inner) == inner
		out := field.ReplaceAllStringFunc(inner, func(s string) string {
			if value, ok := defines[s[1:]]; ok {
				return value
			}
			if ours, ok := facts[s[1:]]; ok {
				return ours
			}
			lost = s
			return s
		})
		if whole && defines[inner[1:]] != "" {
			return out
		}
		if lost != "" {
			note("%s has no equivalent here: replace it, or read it from the environment in Go.", action)
			return "TODO" + strings.ReplaceAll(lost, ".", "-")
		}
		if whole {
			out = strings.Trim(out, "()")
		}
		return "{{" + out + "}}"
	})
}
