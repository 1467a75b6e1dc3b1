package buildlib

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib/internal/rootfs"
)

// check returns an error if the plan lacks something that a build needs. Project.Plan
// sets everything; plans that were written or changed by hand may be incomplete.
func (p *Plan) check() error {
	if p == nil {
		return errors.New("plan: it is nil: Project.Plan makes one")
	}
	var mistakes []error
	rejectIf := func(wrong bool, format string, args ...any) {
		if wrong {
			mistakes = append(mistakes, fmt.Errorf("plan: "+format, args...))
		}
	}
	local := func(path string) bool { return path != "." && filepath.IsLocal(filepath.FromSlash(path)) }
	rejectIf(!filepath.IsAbs(p.Dir), "Dir: %q is not an absolute path: name the folder of the Go module", p.Dir)
	rejectIf(!filepath.IsAbs(p.Output), "Output: %q is not an absolute path: name the folder for results", p.Output)
	rejectIf(p.Version == "", "Version: it is empty: say what is built")
	rejectIf(p.Epoch.IsZero(), "Epoch: it is zero: set the time that goes into images")
	rejectIf(p.Go.Version == "", "Go.Version: it is empty: go env GOVERSION prints it")
	rejectIf(!filepath.IsAbs(p.Go.Root), "Go.Root: %q is not an absolute path: go env GOROOT prints it", p.Go.Root)
	rejectIf(p.Compression != "" && !slices.Contains(rootfs.Compressions, p.Compression), "Compression: %q is not one of %q", p.Compression, rootfs.Compressions)
	made := map[item]bool{}
	for i, c := range p.Compiles {
		at := fmt.Sprintf("Compiles[%d]", i)
		rejectIf(c.Platform == Platform{}, "%s.Platform: it is zero: name what to build for", at)
		rejectIf(!local(c.Folder), "%s.Folder: %q is not a relative path, with no .. in it", at, c.Folder)
		rejectIf(len(c.Mains) == 0, "%s.Mains: it is empty: name what to build", at)
		for j, m := range c.Mains {
			at := fmt.Sprintf("%s.Mains[%d]", at, j)
			rejectIf(m.Binary == "", "%s.Binary: it is empty", at)
			rejectIf(m.Package == "", "%s.Package: it is empty", at)
			rejectIf(!local(m.File), "%s.File: %q is not a file's name", at, m.File)
			rejectIf(!local(m.Output), "%s.Output: %q is not a relative path, with no .. in it", at, m.Output)
			made[item{m.Binary, c.Platform}] = true
		}
	}
	for i, ip := range p.ImagePlans {
		at := fmt.Sprintf("ImagePlans[%d]", i)
		rejectIf(!local(ip.Name), "%s.Name: %q is not a valid image name", at, ip.Name)
		rejectIf(ip.Build == "", "%s.Build: it is empty", at)
		rejectIf(len(ip.Platforms) == 0, "%s.Platforms: it is empty", at)
		for j, pp := range ip.Platforms {
			at := fmt.Sprintf("%s.Platforms[%d]", at, j)
			rejectIf(pp.Platform == Platform{}, "%s.Platform: it is zero: name what the image is for", at)
			rejectIf(pp.Base == "", "%s.Base: it is empty: name a base, or scratch", at)
			for k, b := range pp.Binaries {
				rejectIf(!made[item{b.Binary, pp.Platform}], "%s.Binaries[%d].Binary: no element of Compiles makes %q for %s", at, k, b.Binary, pp.Platform)
				rejectIf(b.Path == "", "%s.Binaries[%d].Path: it is empty", at, k)
			}
		}
	}
	return errors.Join(mistakes...)
}
