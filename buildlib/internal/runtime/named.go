package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// Named are the engines that NamedEngine knows: those that FindEngine looks for,
// nerdctl, and programs that load images into the nodes of a cluster.
var Named = []string{"docker", "podman", "nerdctl", "kind", "k3d", "minikube"}

// NamedEngine returns the engine of that name, if it is installed and answers. A
// cluster's nodes run on this machine, so they have its architecture.
func NamedEngine(ctx context.Context, name string) (Engine, error) {
	if !slices.Contains(Named, name) {
		hint := "there are " + strings.Join(Named, ", ")
		if near := wording.Nearest(name, Named); near != "" {
			hint = "did you mean " + near + "?"
		}
		return Engine{}, fmt.Errorf("no engine is named %q: %s", name, hint)
	}
	for _, engine := range engines {
		if engine.name == name {
			return engine.ask(ctx)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return Engine{}, fmt.Errorf("%s is not installed: install it, or name another engine of %s", name, strings.Join(Named, ", "))
	}
	e := Engine{Name: name, path: path, Platform: v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}}
	if goruntime.GOARCH == "arm" {
		e.Platform.Variant = "v7"
	}
	if name != "nerdctl" {
		return e, nil
	}
	if e.Platform, err = e.platform(ctx, "info", "{{.OSType}}/{{.Architecture}}"); err != nil {
		return Engine{}, err
	}
	e.Platform.Architecture, e.Platform.Variant = architecture(e.Platform.Architecture)
	return e, nil
}

// Runs reports whether the engine's own command runs containers.
func (e Engine) Runs() bool { return !slices.Contains([]string{"kind", "k3d", "minikube"}, e.Name) }

// LoadFor is Load for an image of that platform, which nerdctl has to be told.
func (e Engine) LoadFor(ctx context.Context, platform string, img v1.Image, tags ...name.Tag) (Loaded, error) {
	switch e.Name {
	case "nerdctl":
		return e.load(ctx, img, tags, "load", "--platform", platform)
	case "kind":
		return e.loadFile(ctx, img, tags, "load", "image-archive") // the cluster is kind, or KIND_CLUSTER_NAME
	case "minikube":
		return e.loadFile(ctx, img, tags, "image", "load") // the profile is that of `minikube profile`, or MINIKUBE_PROFILE
	case "k3d":
		cluster, err := e.cluster(ctx)
		if err != nil {
			return Loaded{}, err
		}
		return e.loadFile(ctx, img, tags, "image", "import", "--cluster", cluster)
	}
	return e.Load(ctx, img, tags...)
}

// cluster returns the cluster of k3d that images go to: the default or the only one.
func (e Engine) cluster(ctx context.Context) (string, error) {
	out, err := e.run(ctx, "cluster", "list", "--no-headers")
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	const byDefault = "k3s-default"
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("k3d has no cluster: create one (k3d cluster create)")
	case slices.Contains(names, byDefault):
		return byDefault, nil
	case len(names) > 1:
		return "", fmt.Errorf("k3d has the clusters %s, and none is %s: create one of that name, or delete all but one", strings.Join(names, ", "), byDefault)
	}
	return names[0], nil
}

// loadFile passes an archive to the command as a file, its last argument: not every
// version of these programs reads standard input.
func (e Engine) loadFile(ctx context.Context, img v1.Image, tags []name.Tag, args ...string) (Loaded, error) {
	dir, err := os.MkdirTemp("", "multimage-load-*")
	if err != nil {
		return Loaded{}, err
	}
	defer os.RemoveAll(dir)
	file := dir + string(os.PathSeparator) + "image.tar"
	names := engineNames(tags)
	err = disk.Write(file, dir, 0o644, func(w io.Writer) error { return writeArchive(ctx, w, img, names) })
	if err != nil {
		return Loaded{}, err
	}
	if _, err := e.pipe(ctx, func(io.Writer) error { return nil }, append(args, file)...); err != nil {
		return Loaded{}, err
	}
	return Loaded{Names: names}, nil
}
