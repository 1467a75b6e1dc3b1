// Package runtime takes images to the container engines of this machine.
package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Engine is a container engine on this machine, spoken to through its command.
// Use FindEngine.
type Engine struct {
	Name     string      // docker or podman
	Platform v1.Platform // that its images run on
	path     string
}

// Loaded tells what an engine took in.
type Loaded struct {
	Names []string // as the engine lists them
	// Note explains, in a sentence, names that differ from those asked
	// for; empty if there is nothing to explain.
	Note string
}

// FindEngine returns Docker if it is installed and answers, else Podman if it
// does. If neither does, the error says why of both.
func FindEngine(ctx context.Context) (Engine, error) {
	var reasons []string
	for _, find := range []struct {
		name     string
		platform func(context.Context, Engine) (v1.Platform, error)
	}{{"docker", dockerPlatform}, {"podman", podmanPlatform}} {
		path, err := exec.LookPath(find.name)
		if err != nil {
			reasons = append(reasons, find.name+" is not installed")
			continue
		}
		e := Engine{Name: find.name, path: path}
		if e.Platform, err = find.platform(ctx, e); err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return Engine{}, context.Cause(ctx)
		}
		reasons = append(reasons, err.Error())
	}
	return Engine{}, fmt.Errorf("no container engine answers: %s; start Docker, or install Podman", strings.Join(reasons, "; "))
}

func dockerPlatform(ctx context.Context, e Engine) (v1.Platform, error) {
	out, err := e.run(ctx, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
	if err != nil {
		return v1.Platform{}, err
	}
	os, arch, _ := strings.Cut(out, "/")
	p := v1.Platform{OS: os, Architecture: arch}
	if arch == "arm" {
		// Only the daemon's kernel tells the variant.
		machine, err := e.run(ctx, "info", "--format", "{{.Architecture}}")
		if err != nil {
			return p, err
		}
		p.Architecture, p.Variant = architecture(machine)
	}
	return p, e.check(p, out)
}

func podmanPlatform(ctx context.Context, e Engine) (v1.Platform, error) {
	out, err := e.run(ctx, "info", "--format", "{{.Host.OS}}/{{.Host.Arch}}")
	if err != nil {
		return v1.Platform{}, err
	}
	os, arch, _ := strings.Cut(out, "/")
	p := v1.Platform{OS: os, Architecture: arch}
	if arch == "arm" {
		// Older versions don't have the field.
		if variant, err := e.run(ctx, "info", "--format", "{{.Host.Variant}}"); err == nil {
			p.Variant = variant
		}
	}
	return p, e.check(p, out)
}

func (e Engine) check(p v1.Platform, out string) error {
	if p.OS == "" || p.Architecture == "" || strings.Contains(out, "<") {
		return fmt.Errorf("%s names no platform: %q", e.Name, wording.Clip(out))
	}
	return nil
}

// architecture translates what uname(1) says of a machine.
func architecture(machine string) (arch, variant string) {
	switch {
	case machine == "x86_64":
		return "amd64", ""
	case machine == "aarch64" || machine == "armv8l":
		return "arm64", ""
	case strings.HasPrefix(machine, "armv"):
		return "arm", "v" + strings.TrimRight(strings.TrimPrefix(machine, "armv"), "hl")
	}
	return machine, ""
}

// Load puts the image into the engine under each of the names.
func (e Engine) Load(ctx context.Context, img v1.Image, tags ...name.Tag) (Loaded, error) {
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = engineName(t)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd, output := e.command(ctx, "load", "--quiet")
	in, err := cmd.StdinPipe()
	if err != nil {
		return Loaded{}, err
	}
	if err := cmd.Start(); err != nil {
		return Loaded{}, fmt.Errorf("%s load: %w", e.Name, err)
	}
	a := &archive{ctx: ctx, w: in}
	werr := a.write(img, names)
	if werr != nil && a.broken == nil {
		cancel(werr) // the image's fault: the engine must not take half of it
	}
	in.Close()
	if err := e.wait(ctx, cmd, output, "load"); err != nil {
		return Loaded{}, err
	}
	if werr != nil {
		return Loaded{}, fmt.Errorf("%s load: %w", e.Name, werr)
	}
	return e.loaded(output.out.String(), names), nil
}

// engineName is the name that `docker load` is to give: it takes docker.io as
// read, and a name without registry as it is.
func engineName(t name.Tag) string {
	// Every way to write a Docker Hub name means the same repository, except
	// the name that never had a registry: that one is of this machine.
	if s := t.String(); !strings.Contains(s, "/") {
		if strings.HasSuffix(s, ":"+t.TagStr()) {
			return s
		}
		return s + ":" + t.TagStr()
	}
	host := t.RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	return host + "/" + t.RepositoryStr() + ":" + t.TagStr()
}

func (e Engine) loaded(output string, names []string) Loaded {
	l := Loaded{}
	for line := range strings.Lines(output) {
		// "Loaded image: NAME"; older Podman: "Loaded image(s): NAME,NAME".
		what, list, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || !strings.HasPrefix(what, "Loaded image") {
			continue
		}
		for n := range strings.SplitSeq(list, ",") {
			l.Names = append(l.Names, strings.TrimSpace(n))
		}
	}
	if len(l.Names) == 0 {
		l.Names = names
	}
	for _, n := range l.Names {
		if short, ok := strings.CutPrefix(n, "localhost/"); ok {
			l.Note = fmt.Sprintf("Podman lists images without a registry under localhost/; `podman run %s` finds it, too.", short)
			break
		}
	}
	return l
}

// stdio is what a command said.
type stdio struct{ out, err bytes.Buffer }

// command prepares the engine's command, which ends with ctx together with
// all that it started.
func (e Engine) command(ctx context.Context, args ...string) (*exec.Cmd, *stdio) {
	cmd := exec.CommandContext(ctx, e.path, args...)
	said := &stdio{}
	cmd.Stdout, cmd.Stderr = &said.out, &said.err
	cmd.WaitDelay = time.Second
	own(cmd)
	return cmd, said
}

func (e Engine) run(ctx context.Context, args ...string) (string, error) {
	// An engine whose daemon hangs is one that doesn't answer.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd, said := e.command(ctx, args...)
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%s %s: %w", e.Name, args[0], err)
	}
	if err := e.wait(ctx, cmd, said, args[0]); err != nil {
		return "", err
	}
	return strings.TrimSpace(said.out.String()), nil
}

func (e Engine) wait(ctx context.Context, cmd *exec.Cmd, said *stdio, what string) error {
	err := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", e.Name, what, context.Cause(ctx))
	case err == nil:
		return nil
	}
	text := wording.Clip(said.err.String())
	var exit *exec.ExitError
	if text == "" || !errors.As(err, &exit) {
		return fmt.Errorf("%s %s: %w", e.Name, what, err)
	}
	return fmt.Errorf("%s %s: %s (%w)", e.Name, what, text, err)
}
