// Package adopt makes a buildlib.Project from a project's Dockerfiles, .ko.yaml,
// configuration of goreleaser, main packages and git remote. Notes say what it can't
// carry over; they become comments.
//
// Its files: project.go has the result, mains.go finds main packages, text.go turns
// values into templates; account.go knows users, follower.go follows a Dockerfile
// through its stages, with run.go, copy.go and instruction.go for its instructions, and
// dockerfile.go makes an image of it; yaml.go, ko.go and goreleaser.go read YAML;
// source.go writes the Project as Go, and adopt.go calls all of them.
package adopt

import (
	"context"
	"io/fs"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Project returns the source of a file that sets targets.Project for the project in dir.
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

// dockerfiles returns the paths of the project's Dockerfiles, with slashes, relative to
// it.
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

// finish removes what is the default.
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
		p.note("No main package was found: name in Binaries what to build.")
	}
}

// registry sets Registries to the registry of the service that hosts the repository.
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
