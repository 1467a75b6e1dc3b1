package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// Recipe is what an Engine builds an image from.
type Recipe struct {
	Dockerfile string // a file
	Folder     string // the build context
	Platform   v1.Platform
	// Plain lets Podman and Buildah pull over plain HTTP. Docker's daemon decides by
	// itself.
	Plain bool
}

// FindBuilder returns an engine that can build images: the one of that name. Without
// a name, or with that of an engine that builds nothing, like kind, it is Docker or
// Podman if one of them answers, else Buildah, which needs no daemon. If there is
// none, the error says why.
func FindBuilder(ctx context.Context, name string) (Engine, error) {
	switch {
	case name == "docker" || name == "podman":
		return NamedEngine(ctx, name)
	case name == buildah:
		path, err := exec.LookPath(buildah)
		if err != nil {
			return Engine{}, errors.New("buildah is not installed")
		}
		return Engine{Name: buildah, path: path}, nil
	case name != "" && !slices.Contains(Named, name):
		return NamedEngine(ctx, name) // an error
	}
	e, err := FindEngine(ctx)
	if err == nil || ctx.Err() != nil {
		return e, err
	}
	path, missing := exec.LookPath(buildah)
	if missing != nil {
		return e, fmt.Errorf("%w or Buildah", err)
	}
	return Engine{Name: buildah, path: path}, nil
}

const buildah = "buildah"

// Build builds the image of a recipe under the name tag, writes it to file, and
// removes the name. An error has the engine's output. The image reads its layers
// from the file.
func (e Engine) Build(ctx context.Context, r Recipe, tag, file string) (v1.Image, error) {
	args := []string{"build"}
	switch {
	case e.Name != "docker":
		if r.Plain {
			args = append(args, "--tls-verify=false")
		}
	case e.hasBuildx(ctx):
		// By default it may keep the image to itself, or make an index with provenance.
		args = []string{"buildx", "build", "--load", "--provenance=false"}
	default:
		// Its cache doesn't tell a stage from the same one for another platform.
		args = append(args, "--no-cache")
	}
	args = append(args, "--platform", r.Platform.String(), "--tag", tag, "--file", r.Dockerfile, r.Folder)
	if err := e.build(ctx, args...); err != nil {
		return nil, err
	}
	save, remove := []string{"save", "--output", file, tag}, []string{"rmi", tag}
	if e.Name == buildah {
		save = []string{"push", tag, "docker-archive:" + file}
	}
	err := e.build(ctx, save...)
	if removed := e.build(context.WithoutCancel(ctx), remove...); err == nil {
		err = removed
	}
	if err != nil {
		return nil, err
	}
	img, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", e.Name, save[0], err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", e.Name, save[0], err)
	}
	if config.OS != r.Platform.OS || config.Architecture != r.Platform.Architecture {
		return nil, fmt.Errorf("%s built an image for %s/%s instead of %s", e.Name, config.OS, config.Architecture, r.Platform)
	}
	return img, nil
}

// hasBuildx reports whether docker builds with BuildKit's client.
func (e Engine) hasBuildx(ctx context.Context) bool {
	_, err := e.run(ctx, "buildx", "version")
	return err == nil
}

// build runs the engine's command without a time limit.
func (e Engine) build(ctx context.Context, args ...string) error {
	cmd := process.Command(ctx, e.path, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	release := process.Guard(cmd)
	defer release()
	if err := process.Run(ctx, cmd, &output); err != nil {
		return fmt.Errorf("%s %s: %w", e.Name, strings.Join(args, " "), err)
	}
	return nil
}
