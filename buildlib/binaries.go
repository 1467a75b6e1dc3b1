package buildlib

import (
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// binary is a resolved Binary.
type binary struct {
	Binary
	field      string // where the Project has it, for mistakes
	importPath string
	go_        GoBuild // the Project's and its own as one, templates unrendered
	platforms  []platform
}

func (b binary) String() string { return b.Name }

func (b binary) on(p platform) bool { return slices.ContainsFunc(b.platforms, p.is) }

// file is what go calls the executable on p, and as which it is published.
func (b binary) file(p platform) string      { return gotool.ExecutableName(b.importPath) + suffix(p) }
func (b binary) published(p platform) string { return b.Name + suffix(p) }

// suffix is what the go command appends to an executable's name (go help build).
func suffix(p platform) string {
	if p.OS == "windows" {
		return ".exe"
	}
	return ""
}

// binaryName is what a binary may be called: a file's name on every system.
var binaryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// binaries finds and checks what to build.
func (r *resolver) binaries(ctx context.Context) ([]binary, error) {
	if r.checkGoBuild("Go", r.project.Go); len(r.mistakes) > 0 {
		return nil, nil // what go would list with them says nothing
	}
	var found []binary
	var err error
	if len(r.project.Binaries) == 0 {
		found, err = r.discover(ctx)
	} else {
		found, err = r.declared(ctx)
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]binary{}
	for _, b := range found {
		if other, ok := seen[strings.ToLower(b.Name)]; ok {
			r.mistake(b.field, "two binaries are named %s: %s and %s: give one of them another Name in Binaries", b.Name, other.importPath, b.importPath)
		}
		seen[strings.ToLower(b.Name)] = b
		if !binaryName.MatchString(b.Name) {
			r.mistake(b.field+".Name", "%q can't be a file's name: use letters, digits and . _ + -", b.Name)
		}
	}
	return found, nil
}

// discover finds the main packages below cmd, else at the module's root, for
// each platform: a main may exist for one of them only.
func (r *resolver) discover(ctx context.Context) ([]binary, error) {
	for _, pattern := range []string{"./cmd/...", "."} {
		if pattern != "." {
			if info, err := os.Stat(filepath.Join(r.plan.Dir, "cmd")); err != nil || !info.IsDir() {
				continue
			}
		}
		found, err := r.mains(ctx, pattern)
		if len(found) > 0 || err != nil {
			return found, err
		}
	}
	if len(r.mistakes) == 0 {
		r.mistake("Binaries", "no main package under ./cmd or at the root of %s for %s: add one, or name it in Binaries", r.plan.Dir, join(r.defaults))
	}
	return nil, nil
}

// mains lists the main packages that pattern matches.
func (r *resolver) mains(ctx context.Context, pattern string) ([]binary, error) {
	lists := make([][]gotool.Package, len(r.defaults))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range r.defaults {
		g.Go(func() (err error) {
			lists[i], err = r.list(gctx, p, r.project.Go, pattern)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var found []binary
	index := map[string]int{} // of found, by import path
	cgo := map[string]string{}
	for i, p := range r.defaults {
		for _, pkg := range lists[i] {
			if needs := r.needsCgo(pkg); needs != "" {
				cgo[pkg.ImportPath] = needs
				continue
			}
			if pkg.Error != nil && !excluded(pkg) {
				r.mistake("Binaries", "package %s: %s", pkg.ImportPath, pkg.Error.Err)
				continue
			}
			if pkg.Name != "main" || excluded(pkg) {
				continue
			}
			at, ok := index[pkg.ImportPath]
			if !ok {
				at = len(found)
				index[pkg.ImportPath] = at
				found = append(found, binary{
					Binary: Binary{Name: gotool.ExecutableName(pkg.ImportPath), Package: pkg.ImportPath},
					field:  "Binaries", importPath: pkg.ImportPath, go_: r.project.Go,
				})
			}
			found[at].platforms = append(found[at].platforms, p)
		}
	}
	for path, needs := range cgo {
		if _, ok := index[path]; !ok {
			r.mistake("Binaries", "package %s: %s: name the binaries to build in Binaries to leave it out", path, needs)
		}
	}
	slices.SortFunc(found, func(a, b binary) int { return strings.Compare(a.importPath, b.importPath) })
	return found, nil
}

// declared resolves the Project's own list.
func (r *resolver) declared(ctx context.Context) ([]binary, error) {
	found := make([]binary, len(r.project.Binaries))
	listed := make([][]gotool.Package, len(found))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, b := range r.project.Binaries {
		field := fmt.Sprintf("Binaries[%d]", i)
		if !r.checkGoBuild(field+".Go", b.Go) {
			continue
		}
		if b.Package == "" {
			if b.Name == "" {
				r.mistake(field, "has neither Name nor Package: set one")
				continue
			}
			b.Package = "./cmd/" + b.Name
		}
		if strings.Contains(b.Package, "...") || strings.HasPrefix(b.Package, "-") || strings.HasSuffix(b.Package, ".go") {
			r.mistake(field+".Package", "%q is not one package: name it like ./cmd/NAME", b.Package)
			continue
		}
		b.Path = r.imagePath(field+".Path", b.Path)
		on := r.defaults
		if b.Platforms != nil {
			on = r.parsePlatforms(field+".Platforms", b.Platforms)
			if r.over.Platforms != nil {
				on = limit(on, r.defaults)
			}
		}
		found[i] = binary{Binary: b, field: field, go_: b.Go.over(r.project.Go), platforms: on}
		listed[i] = make([]gotool.Package, len(on))
		for j, p := range on {
			g.Go(func() error {
				pkgs, err := r.list(gctx, p, found[i].go_, b.Package)
				if err != nil {
					return err
				}
				if len(pkgs) == 1 {
					listed[i][j] = pkgs[0]
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var good []binary
	for i, b := range found {
		if b.field == "" {
			continue // a mistake is noted
		}
		if len(b.platforms) == 0 {
			r.plan.Skipped = append(r.plan.Skipped, "binary "+or(b.Name, b.Package))
			continue
		}
		if r.isMain(&b, listed[i]) {
			good = append(good, b)
		}
	}
	return good, nil
}

// isMain checks that b's package is a command on each of its platforms.
func (r *resolver) isMain(b *binary, listed []gotool.Package) bool {
	for j, pkg := range listed {
		field, on := b.field+".Package", b.platforms[j]
		switch needs := r.needsCgo(pkg); {
		case needs != "":
			r.mistake(field, "%s: %s: %s", b.Package, on, needs)
		case excluded(pkg):
			r.mistake(field, "%s: all its files are excluded on %s by build constraints: set the binary's Platforms to those it is for", b.Package, on)
		case pkg.Error != nil:
			r.mistake(field, "%s: %s: name a main package of the module, like ./cmd/NAME", b.Package, strings.TrimSpace(pkg.Error.Err))
		case pkg.Name == "":
			r.mistake(field, "%s: no such package: name one like ./cmd/NAME", b.Package)
		case pkg.Name != "main":
			r.mistake(field, "%s: is package %s, not main, so it makes no binary", b.Package, pkg.Name)
		default:
			b.importPath = pkg.ImportPath
			continue
		}
		return false
	}
	b.Name = or(b.Name, gotool.ExecutableName(b.importPath))
	return true
}

// list asks go for the packages that pattern matches on p, built as b says.
func (r *resolver) list(ctx context.Context, p platform, b GoBuild, pattern string) ([]gotool.Package, error) {
	rendered, err := b.render(p.onto(r.tags))
	if err != nil {
		return nil, nil // noted by checkGoBuild
	}
	return r.go_.List(ctx, append(slices.Clone(rendered.Env), p.env...), rendered.args(), pattern)
}

// excluded reports whether build constraints leave a package no file.
func excluded(pkg gotool.Package) bool {
	return pkg.Error != nil && strings.Contains(pkg.Error.Err, "build constraints exclude all Go files")
}

// needsCgo says which file of a package without others imports "C", if one
// does: with CGO_ENABLED=0 go leaves it out like one for another platform.
func (r *resolver) needsCgo(pkg gotool.Package) string {
	if !excluded(pkg) {
		return ""
	}
	for _, name := range pkg.IgnoredGoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"C"` {
				return fmt.Sprintf("needs cgo (%s imports \"C\"), and multimage compiles with CGO_ENABLED=0 so that every platform can be built anywhere", name)
			}
		}
	}
	return ""
}
