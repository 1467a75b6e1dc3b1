// Package adopt makes a buildlib.Project from what a project has: Dockerfiles,
// .ko.yaml, goreleaser's configuration, main packages, a git remote. What it
// can't carry over becomes a note, and that a comment.
//
// adopt.go looks for all of it, mains.go for main packages; dockerfile.go
// follows a Dockerfile through its stages, with
// instruction.go and copy.go for what they say, run.go for what RUN does and
// account.go for users; ko.go and goreleaser.go read YAML; text.go has values
// that become templates; source.go writes the Project as Go.
package adopt

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib"
)

// project is a buildlib.Project on its way.
type project struct {
	dir    string // absolute
	mains  []mainPackage
	images []*image
	notes  []string
	buildlib.Project
}

// image is an Image on its way, and what it is made of.
type image struct {
	buildlib.Image
	from  string // the file, and where in it
	notes []string
}

func (p *project) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

func (i *image) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(i.notes, text) {
		i.notes = append(i.notes, text)
	}
}

// Project returns the source of a file that sets targets.Project to what is
// found in dir.
func Project(ctx context.Context, dir string) ([]byte, error) {
	p := &project{dir: dir}
	if err := p.findMains(ctx); err != nil {
		return nil, err
	}
	dockerfiles, err := p.dockerfiles()
	if err != nil {
		return nil, err
	}
	taken, err := p.goreleaser()
	if err != nil {
		return nil, err
	}
	for _, name := range dockerfiles {
		if slices.Contains(taken, name) {
			continue
		}
		if err := p.dockerfile(name); err != nil {
			return nil, err
		}
	}
	if err := p.ko(); err != nil {
		return nil, err
	}
	p.finish()
	if p.Registries == nil {
		p.registry(ctx)
	}
	return p.source()
}

// isDockerfile matches Dockerfile, Dockerfile.alpine, api.Dockerfile, Containerfile.
var isDockerfile = regexp.MustCompile(`(?i)^(?:[^.].*\.)?(?:dockerfile|containerfile)(?:[.-][a-z0-9_-]+)?$`)

// dockerfiles are those of the project, with slashes, relative to it.
func (p *project) dockerfiles() ([]string, error) {
	var found []string
	err := p.walk(func(rel string, d fs.DirEntry) {
		if isDockerfile.MatchString(d.Name()) && !strings.HasSuffix(d.Name(), ".dockerignore") {
			found = append(found, rel)
		}
	})
	slices.SortFunc(found, func(a, b string) int {
		if n := strings.Count(a, "/") - strings.Count(b, "/"); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	return found, err
}

// walk calls visit for the files of the project that are its own.
func (p *project) walk(visit func(rel string, d fs.DirEntry)) error {
	return fs.WalkDir(os.DirFS(p.dir), ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && rel != "." && (name[0] == '.' || name[0] == '_' || slices.Contains(notOurs, name)) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			visit(rel, d)
		}
		return nil
	})
}

// notOurs are folders that hold other people's files, tests, or what is made.
var notOurs = []string{"vendor", "node_modules", "testdata", "magefiles", "dist", "third_party"}

// isDir and isFile say what is at a path of the project.
func (p *project) isDir(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && info.IsDir()
}

func (p *project) isFile(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && !info.IsDir()
}

// add adds an image under a name of its own. Two of one name are variants, which
// are told apart by what their files are called.
func (p *project) add(i *image, variant string) {
	taken := func(name string) bool {
		return slices.ContainsFunc(p.images, func(o *image) bool { return o.Name == name })
	}
	if name := i.Name; taken(name) {
		if variant == "" || taken(name+"-"+variant) {
			variant = fmt.Sprint(len(p.images) + 1)
		}
		i.Name, i.Repository = name+"-"+variant, name
		i.Tags = []string{"{{.Version}}-" + variant}
	}
	p.images = append(p.images, i)
}

// finish leaves out what the defaults say.
func (p *project) finish() {
	for _, i := range p.images {
		if len(i.Binaries) == 1 && i.Binaries[0] == i.Name {
			i.Binaries = nil
		}
		if slices.Equal(i.Platforms, p.Platforms) {
			i.Platforms = nil
		}
		if i.BinDir == "/usr/local/bin" {
			i.BinDir = ""
		}
	}
	if slices.Equal(p.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		p.Platforms = nil
	}
	p.finishBinaries()
	if len(p.images) == 0 && len(p.mains) > 0 {
		p.note("No Dockerfile, .ko.yaml or goreleaser image was found: each binary becomes an image from scratch. Images says more.")
	}
	if len(p.mains) == 0 {
		p.note("There is no main package: name in Binaries what is to be built.")
	}
}

// registry takes the registry that belongs to where the repository is hosted.
func (p *project) registry(ctx context.Context) {
	cmd := exec.CommandContext(ctx, "git", "remote", "get-url", "origin")
	cmd.Dir = p.dir
	out, err := cmd.Output()
	remote := strings.TrimSpace(string(out))
	m := remoteAddress.FindStringSubmatch(remote)
	if err != nil || m == nil {
		p.note(`Registries is not set: without it, manifest tags images in dist/oci only. Set it to where they go, like "ghcr.io/acme".`)
		return
	}
	host, repository := strings.ToLower(m[1]), strings.ToLower(strings.TrimSuffix(m[2], ".git"))
	switch {
	case host == "github.com":
		p.Registries = []string{"ghcr.io/" + path.Dir(repository)}
	case host == "gitlab.com":
		p.Registries = []string{"registry.gitlab.com/" + repository}
	default:
		p.note("Registries is not set, because no registry is known to belong to %s: set it to where images go.", host)
		return
	}
	p.note("Registries is that of the git remote: change it if images go elsewhere.")
}

// remoteAddress matches https://host/path, ssh://git@host/path and git@host:path.
var remoteAddress = regexp.MustCompile(`^(?:[a-z+]+://)?(?:[^@/]*@)?([A-Za-z0-9.-]+)(?::\d+)?[:/]/?([^@]+?)/?$`)
