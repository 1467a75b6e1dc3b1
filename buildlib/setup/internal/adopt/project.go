package adopt

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib"
)

// project is a buildlib.Project that is being made.
type project struct {
	dir    string // absolute
	mains  []mainPackage
	images []*image
	notes  []string
	buildlib.Project
}

// image is a buildlib.Image that is being made.
type image struct {
	buildlib.Image
	from  string // the file that it is made from, and the section in it
	notes []string
}

// mainPackage is a command of the project.
type mainPackage struct {
	importPath string
	dir        string           // relative to the project, with slashes: cmd/server
	name       string           // the go command's default for the executable
	found      bool             // whether multimage finds it by default
	binary     *buildlib.Binary // nil: no image uses it
	ambiguous  bool             // whether another main package has the same name
}

func (p *project) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

func (i *image) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(i.notes, text) {
		i.notes = append(i.notes, text)
	}
}

// walk calls visit for the project's own files.
func (p *project) walk(visit func(rel string, d fs.DirEntry)) error {
	return fs.WalkDir(os.DirFS(p.dir), ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && rel != "." && (name[0] == '.' || name[0] == '_' || slices.Contains(foreignFolders, name)) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			visit(rel, d)
		}
		return nil
	})
}

// foreignFolders hold files of other projects, of tests, or generated ones.
var foreignFolders = []string{"vendor", "node_modules", "testdata", "magefiles", "dist", "third_party"}

// isDir reports whether a path of the project is a folder.
func (p *project) isDir(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && info.IsDir()
}

// isFile reports whether a path of the project is a file.
func (p *project) isFile(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && !info.IsDir()
}

// setLabel sets a label of the image.
func (i *image) setLabel(key, value string) {
	if i.Labels == nil {
		i.Labels = map[string]string{}
	}
	i.Labels[key] = value
}

// add adds an image. If its name is taken, it is a variant of the other image, and gets
// the variant in its name and tags.
func (p *project) add(i *image, variant string) {
	taken := func(name string) bool {
		return slices.ContainsFunc(p.images, func(o *image) bool { return o.Name == name })
	}
	if name := i.Name; taken(name) {
		if variant == "" || taken(name+"-"+variant) {
			variant = fmt.Sprint(len(p.images) + 1)
		}
		i.Name, i.Repository = name+"-"+variant, name
		i.Tags = []string{"{{.Version}}-" + variant}
	}
	p.images = append(p.images, i)
}
