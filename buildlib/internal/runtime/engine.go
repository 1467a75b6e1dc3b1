// Package runtime runs the programs of images, and hands images and Dockerfiles to
// the container engines of this machine. Its files, each knowing those before it:
// archive (an image as engines load it), engine, build; program, try (by an engine),
// inside (what runs in new namespaces), sandbox, run.
package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/process"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Engine is a container engine on this machine, used through its command. Use
// FindEngine.
type Engine struct {
	Name     string      // docker, podman...
	Platform v1.Platform // that its images run on; zero for buildah
	path     string
}

// Loaded is what an engine has loaded.
type Loaded struct {
	Names []string // as the engine lists them
	// Note explains in a sentence why names differ from those asked for. Empty:
	// they don't.
	Note string
}

// engines are those that FindEngine looks for, in this order, with the arguments
// that print its platform and, on arm, the variant.
var engines = []known{
	// Only the daemon's kernel knows the variant.
	{"docker", "version", "{{.Server.Os}}/{{.Server.Arch}}", "{{.Architecture}}"},
	{"podman", "info", "{{.Host.OS}}/{{.Host.Arch}}", "{{.Host.Variant}}"},
}

type known struct{ name, command, platform, machine string }

// ask returns the engine, if it is installed and answers.
func (engine known) ask(ctx context.Context) (Engine, error) {
	path, err := exec.LookPath(engine.name)
	if err != nil {
		return Engine{}, errors.New(engine.name + " is not installed")
	}
	e := Engine{Name: engine.name, path: path}
	e.Platform, err = e.platform(ctx, engine.command, engine.platform)
	if err == nil && e.Platform.Architecture == "arm" {
		var machine string
		machine, err = e.run(ctx, "info", "--format", engine.machine)
		e.Platform.Architecture, e.Platform.Variant = architecture(machine)
		if e.Name == "podman" {
			err = nil // older versions don't have the field
		}
	}
	return e, err
}

// platform runs a command that prints the platform in the format OS/ARCH.
func (e Engine) platform(ctx context.Context, command, format string) (v1.Platform, error) {
	out, err := e.run(ctx, command, "--format", format)
	if err != nil {
		return v1.Platform{}, err
	}
	system, arch, _ := strings.Cut(out, "/")
	if system == "" || arch == "" || strings.Contains(out, "<") {
		return v1.Platform{}, fmt.Errorf("%s names no platform: %q", e.Name, wording.Clip(out))
	}
	return v1.Platform{OS: system, Architecture: arch}, nil
}

// FindEngine returns Docker if it is installed and answers, else Podman if it
// does. If neither does, the error says why for both.
func FindEngine(ctx context.Context) (Engine, error) {
	var reasons []string
	for _, engine := range engines {
		e, err := engine.ask(ctx)
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return Engine{}, context.Cause(ctx)
		}
		reasons = append(reasons, err.Error())
	}
	return Engine{}, fmt.Errorf("no container engine answers: %s; start Docker, or install Podman", strings.Join(reasons, "; "))
}

// architecture returns a platform's architecture and variant for a machine as
// uname(1) names it, or for a variant of arm.
func architecture(machine string) (arch, variant string) {
	switch {
	case machine == "x86_64":
		return "amd64", ""
	case machine == "aarch64" || machine == "armv8l":
		return "arm64", ""
	case strings.HasPrefix(machine, "armv"):
		return "arm", "v" + strings.TrimRight(strings.TrimPrefix(machine, "armv"), "hl")
	case machine == "" || strings.HasPrefix(machine, "v"):
		return "arm", machine
	}
	return machine, ""
}

// Load puts the image into the engine under each of the names.
func (e Engine) Load(ctx context.Context, img v1.Image, tags ...name.Tag) (Loaded, error) {
	return e.load(ctx, img, tags, "load", "--quiet")
}

// load pipes an archive into the command.
func (e Engine) load(ctx context.Context, img v1.Image, tags []name.Tag, args ...string) (Loaded, error) {
	names := engineNames(tags)
	out, err := e.pipe(ctx, func(w io.Writer) error { return writeArchive(ctx, w, img, names) }, args...)
	if err != nil {
		return Loaded{}, err
	}
	return e.loaded(out, names), nil
}

func engineNames(tags []name.Tag) []string {
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = engineName(t)
	}
	return names
}

// engineName is the name that an engine gives a loaded image.
func engineName(t name.Tag) string {
	// A name without a registry is one of this machine, not of Docker Hub.
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

// run returns what the engine's command prints. After 20 seconds without an answer
// the daemon counts as hanging.
func (e Engine) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := e.pipe(ctx, func(io.Writer) error { return nil }, args...)
	return strings.TrimSpace(out), err
}

// pipe runs the engine's command with the input that write writes. If write itself
// fails, the command is killed before its input ends: it must not take half an image
// for a whole one.
func (e Engine) pipe(ctx context.Context, write func(io.Writer) error, args ...string) (string, error) {
	failed := func(err error) (string, error) { return "", fmt.Errorf("%s %s: %w", e.Name, args[0], err) }
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := process.Command(ctx, e.path, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return failed(err)
	}
	if err := cmd.Start(); err != nil {
		return failed(err)
	}
	input := &input{w: in}
	werr := write(input)
	if werr != nil && !input.closed {
		cancel(werr)
	}
	in.Close()
	err = cmd.Wait()
	_, exited := errors.AsType[*exec.ExitError](err)
	switch text := wording.Clip(stderr.String()); {
	case ctx.Err() != nil:
		return failed(context.Cause(ctx))
	case text != "" && exited:
		return failed(fmt.Errorf("%s (%w)", text, err))
	case err != nil:
		return failed(err)
	case werr != nil:
		return failed(werr)
	}
	return out.String(), nil
}

// input is a command's input. closed is set if the command doesn't read it any more,
// which is not the writer's fault.
type input struct {
	w      io.Writer
	closed bool
}

func (i *input) Write(p []byte) (int, error) {
	n, err := i.w.Write(p)
	i.closed = i.closed || err != nil
	return n, err
}
