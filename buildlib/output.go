package buildlib

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/multimage/multimage/buildlib/internal/disk"
	"github.com/multimage/multimage/buildlib/internal/git"
)

// outputs are the folders that runs write to in OUTPUT.
var outputs = []string{"bench", "bin", "digests", "evidence", "oci"}

// ignore keeps what is written to OUTPUT, itself included, out of git, so that
// it neither makes the next version "dirty" nor gets committed. It names that
// and nothing else: OUTPUT may have files of the project's own.
const ignore = `# What multimage writes here is built, and no source.
/.gitignore
/.multimage/
/bench/
/bin/*/*/
/digests/
/evidence/
/images.json
/oci/
`

// makeOutput makes the output folder, which may be a link of the user's, and in
// it what keeps the rest out of git.
func (w *workspace) makeOutput(ctx context.Context) error {
	out := w.plan.Output
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range outputs {
		if err := disk.CheckFolder(filepath.Join(out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err := os.Lstat(w.private(""))
	fresh := errors.Is(err, fs.ErrNotExist)
	for _, name := range []string{"kept", "layouts"} {
		if _, err := disk.MakeFolder(out, filepath.Join(".multimage", name)); err != nil {
			return err
		}
	}
	path := filepath.Join(out, ".gitignore")
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return w.writeOnce(path, ignore)
	}
	if !fresh {
		return nil
	}
	// The project has its own: it stays as it is.
	if seen := git.Unignored(ctx, out, []string{"bin/os/arch/name", "images.json", "oci/name"}); len(seen) > 0 {
		w.tell(StepWarn, fmt.Sprintf("git doesn't ignore what is written to %s: add these lines to %s: %s",
			out, path, strings.Join(strings.Fields(ignore)[10:], " ")))
	}
	return w.writeOnce(w.private(".gitignore"), "*\n")
}

// writeOnce writes a file before the output folder is locked.
func (w *workspace) writeOnce(path, content string) error {
	err := disk.WriteBytes(path, w.private(""), 0o644, []byte(content))
	if _, there := os.Lstat(path); there == nil {
		return nil // another run was faster, and has swept ours
	}
	return err
}

// sweep removes the temporary files that killed runs left beside tmp: those of
// makeOutput, and of layouts, perhaps of images that this run doesn't make. The
// folder of the latter stays, for it tells that the layout was not finished.
// What can't be removed, as another user's, is in nobody's way.
func (w *workspace) sweep() {
	for _, pattern := range []string{"write-*", "layouts/*/tmp/*"} {
		left, _ := fs.Glob(os.DirFS(w.private("")), pattern)
		for _, name := range left {
			if err := w.remove(name); err != nil {
				w.log("%v", err)
			}
		}
	}
}

// remove removes what has that name in the private folder, unless a link leads
// there.
func (w *workspace) remove(name string) error {
	dir := w.private("")
	for parent := range strings.SplitSeq(filepath.Dir(filepath.FromSlash(name)), string(filepath.Separator)) {
		dir = filepath.Join(dir, parent)
		if err := disk.CheckFolder(dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(w.private(filepath.FromSlash(name)))
}

// layout is the folder of an image's layout.
func (p *Plan) layout(image string) string {
	return filepath.Join(p.Output, "oci", filepath.FromSlash(image))
}

func (w *workspace) private(name string) string { return w.plan.private(name) }

func (p *Plan) private(name string) string { return filepath.Join(p.Output, ".multimage", name) }

// folder makes a folder in OUTPUT, following no link there.
func (w *workspace) folder(path string) error {
	name, err := filepath.Rel(w.plan.Output, path)
	if err == nil {
		_, err = disk.MakeFolder(w.plan.Output, name)
	}
	return err
}
