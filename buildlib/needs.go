package buildlib

import (
	"archive/tar"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/filetree"
	"github.com/multimage/multimage/buildlib/internal/gotool"
	"github.com/multimage/multimage/buildlib/internal/wording"
)

// checkNeeds is an error if a binary needs a dynamic loader that the image lacks: it
// could not start. Shared libraries that aren't where loaders look are a warning, as
// the image may be set up to find them elsewhere.
func (w *workspace) checkNeeds(tree *filetree.Tree, ip ImagePlan, pp PlatformPlan, executables map[string]gotool.Executable) error {
	has := func(p string) bool {
		_, n, ok := tree.Lookup(p)
		return ok && n.Type == tar.TypeReg
	}
	for _, b := range pp.Binaries {
		e := executables[b.Binary]
		if e.Loader == "" {
			continue
		}
		if !has(e.Loader) {
			return fmt.Errorf("binary %s wants the dynamic loader %s, which the image lacks (base %s): link it statically (with cgo, -linkmode=external '-extldflags=-static' in Go.Ldflags; without, leave -buildmode=pie out of GOFLAGS and Go.Flags), or choose a Base that has the loader", b.Binary, e.Loader, pp.Base)
		}
		var missing []string
		for _, name := range e.Libraries {
			if !slices.ContainsFunc(libraryFolders(pp.Platform), func(dir string) bool { return has(path.Join(dir, name)) }) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 && !strings.Contains(strings.Join(pp.Config.Env, " "), "LD_LIBRARY_PATH=") {
			w.tell(StepWarn, fmt.Sprintf("image %s: %s: binary %s wants shared libraries that the image lacks (base %s): %s: add them by Packages or Files, or link it statically", ip.Name, pp.Platform, b.Binary, pp.Base, wording.List(missing, 5)))
		}
	}
	return nil
}

// libraryFolders are where dynamic loaders look by default (ld.so(8)), including
// Debian's multiarch folders.
func libraryFolders(p Platform) []string {
	all := []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"}
	triplets := map[string]string{
		"386": "i386-linux-gnu", "amd64": "x86_64-linux-gnu", "arm": "arm-linux-gnueabihf arm-linux-gnueabi", "arm64": "aarch64-linux-gnu",
		"loong64": "loongarch64-linux-gnu", "ppc64le": "powerpc64le-linux-gnu", "riscv64": "riscv64-linux-gnu", "s390x": "s390x-linux-gnu",
	}
	for t := range strings.FieldsSeq(triplets[p.Architecture]) {
		for _, dir := range []string{"/lib", "/usr/lib", "/usr/local/lib"} {
			all = append(all, path.Join(dir, t))
		}
	}
	return all
}
