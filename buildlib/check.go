package buildlib

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// check is an error if the plan lacks what a build needs. A Project's plan has
// it all; one that was put together or changed by hand may not.
func (p *Plan) check() error {
	if p == nil {
		return errors.New("plan: it is nil: Project.Plan makes one")
	}
	var missing []error
	miss := func(wrong bool, format string, args ...any) {
		if wrong {
			missing = append(missing, fmt.Errorf("plan: "+format, args...))
		}
	}
	local := func(path string) bool { return path != "." && filepath.IsLocal(filepath.FromSlash(path)) }
	miss(!filepath.IsAbs(p.Dir), "Dir: %q is not an absolute path: name the folder of the Go module", p.Dir)
	miss(!filepath.IsAbs(p.Output), "Output: %q is not an absolute path: name the folder for results", p.Output)
	miss(p.Version == "", "Version: it is empty: say what is built")
	miss(p.Epoch.IsZero(), "Epoch: it is zero: set the time that goes into images")
	miss(p.Go.Version == "", "Go.Version: it is empty: go env GOVERSION prints it")
	miss(!filepath.IsAbs(p.Go.Root), "Go.Root: %q is not an absolute path: go env GOROOT prints it", p.Go.Root)
	miss(p.Compression != "" && !slices.Contains(rootfs.Compressions, p.Compression), "Compression: %q is not one of %q", p.Compression, rootfs.Compressions)
	made := map[on]bool{}
	for i, c := range p.Compiles {
		at := fmt.Sprintf("Compiles[%d]", i)
		miss(c.Platform == Platform{}, "%s.Platform: it is zero: name what to build for", at)
		miss(!local(c.Folder), "%s.Folder: %q is not a relative path, with no .. in it", at, c.Folder)
		miss(len(c.Mains) == 0, "%s.Mains: it is empty: name what to build", at)
		for j, m := range c.Mains {
			at := fmt.Sprintf("%s.Mains[%d]", at, j)
			miss(m.Binary == "", "%s.Binary: it is empty", at)
			miss(m.Package == "", "%s.Package: it is empty", at)
			miss(!local(m.File), "%s.File: %q is not a file's name", at, m.File)
			miss(!local(m.Output), "%s.Output: %q is not a relative path, with no .. in it", at, m.Output)
			made[on{m.Binary, c.Platform}] = true
		}
	}
	for i, ip := range p.ImagePlans {
		at := fmt.Sprintf("ImagePlans[%d]", i)
		miss(!local(ip.Name), "%s.Name: %q is not a valid image name", at, ip.Name)
		miss(ip.Build == "", "%s.Build: it is empty", at)
		miss(len(ip.Platforms) == 0, "%s.Platforms: it is empty", at)
		for j, pp := range ip.Platforms {
			at := fmt.Sprintf("%s.Platforms[%d]", at, j)
			miss(pp.Platform == Platform{}, "%s.Platform: it is zero: name what the image is for", at)
			miss(pp.Base == "", "%s.Base: it is empty: name a base, or scratch", at)
			for k, b := range pp.Binaries {
				miss(!made[on{b.Binary, pp.Platform}], "%s.Binaries[%d].Binary: no one of Compiles makes %q for %s", at, k, b.Binary, pp.Platform)
				miss(b.Path == "", "%s.Binaries[%d].Path: it is empty", at, k)
			}
		}
	}
	return errors.Join(missing...)
}
