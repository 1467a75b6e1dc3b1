package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"os/exec"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/multimage/multimage/buildlib/internal/process"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// try has the engine run the program, and removes the image and the container.
func (e Engine) try(ctx context.Context, p Program) (err error) {
	config, err := p.Image.ConfigFile()
	if err != nil {
		return err
	}
	if _, err := p.command(config.Config); err != nil {
		return err
	}
	container := "multimage-smoke-" + rand.Text()
	tag, err := name.NewTag("localhost/multimage-smoke:" + container)
	if err != nil {
		return err
	}
	if _, err := e.Load(ctx, p.Image, tag); err != nil {
		return err
	}
	clean := context.WithoutCancel(ctx)
	defer func() { _, _ = e.run(clean, "rmi", "--force", engineName(tag)) }()
	limited, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	platform := config.OS + "/" + config.Architecture
	if config.Variant != "" {
		platform += "/" + config.Variant
	}
	args := append([]string{"run", "--rm", "--name", container, "--network", "none", "--platform", platform, engineName(tag)}, p.Args...)
	cmd := process.Command(limited, e.path, args...)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case limited.Err() != nil:
		_, _ = e.run(clean, "rm", "--force", container) // the command's end isn't the container's
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return p.timeout(out.String())
	case exited && exit.ExitCode() == 125: // the engine's own (docker-run(1), podman-run(1))
		return &Unavailable{e.Name + " run: " + wording.Clip(out.String())}
	case err != nil:
		return &Failed{err.Error() + " of " + e.Name + " run", out.String()}
	}
	return nil
}
