package adopt

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/multimage/multimage/buildlib"
)

// project is a buildlib.Project on its way.
type project struct {
	dir    string // absolute
	mains  []mainPackage
	images []*image
	notes  []string
	buildlib.Project
}

// image is an Image on its way, and what it is made of.
type image struct {
	buildlib.Image
	from  string // the file, and where in it
	notes []string
}

// mainPackage is a command of the project.
type mainPackage struct {
	importPath string
	dir        string           // relative to the project, with slashes: cmd/server
	name       string           // the go command's default for the executable
	found      bool             // whether multimage finds it without being told
	binary     *buildlib.Binary // nil: no image uses it
	twin       bool             // another main has its name
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

// walk calls visit for the files of the project that are its own.
func (p *project) walk(visit func(rel string, d fs.DirEntry)) error {
	return fs.WalkDir(os.DirFS(p.dir), ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && rel != "." && (name[0] == '.' || name[0] == '_' || slices.Contains(notOurs, name)) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			visit(rel, d)
		}
		return nil
	})
}

// notOurs are folders that hold other people's files, tests, or what is made.
var notOurs = []string{"vendor", "node_modules", "testdata", "magefiles", "dist", "third_party"}

// isDir and isFile say what is at a path of the project.
func (p *project) isDir(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && info.IsDir()
}

func (p *project) isFile(rel string) bool {
	info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(rel)))
	return err == nil && !info.IsDir()
}

// add adds an image under a name of its own. Two of one name are variants, which
// are told apart by what their files are called.
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
