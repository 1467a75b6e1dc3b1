package buildlib

import (
	"cmp"
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multimage/multimage/buildlib/internal/gotool"
)

// binaryName matches names that are valid file names on every system.
var binaryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// binaries finds and checks what to build.
func (r *resolver) binaries(ctx context.Context) ([]binary, error) {
	if !r.checkGOFLAGS() {
		return nil, nil // go list would fail as go build does
	}
	r.checkGoBuild("Go", r.project.Go, r.defaults)
	listing := r.checkTemplates("Go", r.project.Go, r.defaults)
	var found []binary
	var err error
	switch {
	case r.project.Binaries != nil:
		found, err = r.declared(ctx, listing)
	case listing:
		found, err = r.discover(ctx)
	}
	if err != nil {
		return nil, err
	}
	var good []binary
	for _, b := range found {
		clash := func(o binary) bool {
			return strings.EqualFold(o.Name, b.Name) && len(intersect(o.platforms, b.platforms)) > 0
		}
		if i := slices.IndexFunc(good, clash); i >= 0 {
			other := good[i]
			r.mistake(b.field, "two binaries for %s are named %s: %s and %s: give one of them another Name, or Platforms of its own, in Binaries",
				join(intersect(other.platforms, b.platforms)), b.Name, other.importPath, b.importPath)
			continue
		}
		good = append(good, b)
		if !binaryName.MatchString(b.Name) {
			r.mistake(b.field+".Name", "%q can't be a file's name: use letters, digits and . _ + -", b.Name)
		}
	}
	return good, nil
}

// discover finds the main packages below cmd, else at the module's root. It looks on
// each platform, because a main package may exist on some of them only.
func (r *resolver) discover(ctx context.Context) ([]binary, error) {
	patterns := []string{"."}
	if info, err := os.Stat(filepath.Join(r.plan.Dir, "cmd")); err == nil && info.IsDir() {
		patterns = []string{"./cmd/...", "."}
	}
	for _, pattern := range patterns {
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
			lists[i], err = r.list(gctx, "", p, r.project.Go, pattern)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := r.listExcluded(ctx, pattern, lists); err != nil {
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
			if pattern == "." && pkg.Error != nil && strings.HasPrefix(pkg.Error.Err, "no Go files in ") {
				continue // the root need not be a package
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
					field:  "Binaries", importPath: pkg.ImportPath, build: r.project.Go,
				})
			}
			found[at].platforms = append(found[at].platforms, p)
			found[at].cgo = found[at].cgo || len(pkg.CgoFiles) > 0
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(cgo)) {
		if _, ok := index[pkg]; !ok {
			r.mistake("Binaries", "package %s: %s: name the binaries to build in Binaries to leave it out", pkg, cgo[pkg])
		}
	}
	for _, b := range found {
		if b.cgo && len(b.platforms) < len(r.defaults) {
			r.warn("package %s is built for %s only: it needs cgo, and Go.CGO.CC names no compiler for the other platforms", b.importPath, join(b.platforms))
		}
	}
	slices.SortFunc(found, func(a, b binary) int { return strings.Compare(a.importPath, b.importPath) })
	return found, nil
}

// listExcluded adds to the lists the packages that a pattern of go doesn't match because
// build constraints exclude all their files. A package that needs cgo must not be
// missing without a message.
func (r *resolver) listExcluded(ctx context.Context, pattern string, lists [][]gotool.Package) error {
	root, ok := strings.CutSuffix(pattern, "/...")
	if !ok || len(lists) == 0 {
		return nil
	}
	listed := map[string]bool{}
	for _, list := range lists {
		for _, pkg := range list {
			listed[pkg.Dir] = true
		}
	}
	var missed []string
	root = path.Clean(root)
	err := fs.WalkDir(os.DirFS(r.plan.Dir), root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			dir := filepath.Join(r.plan.Dir, filepath.FromSlash(path.Dir(name)))
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !listed[dir] {
				listed[dir] = true
				missed = append(missed, "./"+path.Dir(name))
			}
			return nil
		}
		// These folders aren't matched by patterns (go help packages).
		base := d.Name()
		if name != root && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(r.plan.Dir, filepath.FromSlash(name), "go.mod")); err == nil {
			return fs.SkipDir // another module
		}
		return nil
	})
	if err != nil || len(missed) == 0 {
		return err
	}
	for i, p := range r.defaults {
		more, err := r.list(ctx, "", p, r.project.Go, missed...)
		if err != nil {
			return err
		}
		lists[i] = append(lists[i], slices.DeleteFunc(more, func(pkg gotool.Package) bool { return !excluded(pkg) })...)
	}
	return nil
}

// declared resolves Project.Binaries. listing is false if templates of the Project's
// GoBuild are wrong: packages can't be listed then.
func (r *resolver) declared(ctx context.Context, listing bool) ([]binary, error) {
	found := make([]binary, len(r.project.Binaries))
	listed := make([][]gotool.Package, len(found))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, b := range r.project.Binaries {
		field := fmt.Sprintf("Binaries[%d]", i)
		r.renderPath(field+".Path", b.Path, nil)
		r.checkAttributes(field, b.Mode, b.UID, b.GID, b.Capabilities)
		if b.Mode != 0 && b.Mode&0o111 == 0 {
			r.mistake(field+".Mode", "%#o lets nobody execute it: want one like 0o755", uint32(b.Mode))
		}
		on, skipped := r.defaults, false
		if b.Platforms != nil {
			on = r.parsePlatforms(field+".Platforms", b.Platforms)
			if limited := intersect(on, r.defaults); r.overrides.Platforms != nil {
				if skipped = len(limited) == 0; !skipped {
					on = limited
				}
			}
		}
		r.checkGoBuild(field+".Go", b.Go, on)
		settings := b.Go
		if listing { // else the Project's mistakes would be noted a second time
			settings = b.Go.withDefaults(r.project.Go)
		}
		ok := r.checkTemplates(field+".Go", settings, on) && listing
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
		if !ok {
			continue
		}
		module, pattern := r.moduleOf(b.Package)
		found[i] = binary{Binary: b, field: field, build: settings, platforms: on, skipped: skipped, module: module}
		listed[i] = make([]gotool.Package, len(on))
		for j, p := range on {
			g.Go(func() error {
				pkgs, err := r.list(gctx, module, p, found[i].build, pattern)
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
			continue // its mistake is noted
		}
		switch {
		case !r.isMain(&b, listed[i]):
		case b.skipped || len(b.platforms) == 0:
			what := "binary " + cmp.Or(b.Name, b.Package)
			if slices.ContainsFunc(found, func(o binary) bool { return o.field != b.field && o.Name == b.Name }) {
				what += " (" + b.Package + ")"
			}
			r.plan.Skipped = append(r.plan.Skipped, what)
			r.skipped = append(r.skipped, b)
		default:
			good = append(good, b)
		}
	}
	return good, nil
}

// isMain checks that b's package is a main package on each of its platforms.
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
	if b.importPath != "" {
		b.Name = cmp.Or(b.Name, gotool.ExecutableName(b.importPath))
	}
	return true
}

// list asks go for the packages that match patterns on p, with b's settings, in the
// folder of a module.
func (r *resolver) list(ctx context.Context, module string, p Platform, b GoBuild, patterns ...string) ([]gotool.Package, error) {
	rendered, err := b.render(r.facts.forPlatform(p))
	if err != nil {
		return nil, nil // noted by checkTemplates
	}
	tool := gotool.Go{Dir: filepath.Join(r.plan.Dir, module)}
	env, args := rendered.environ(p), rendered.args()
	if r.plan.BuildCache != "" {
		// To list packages, go downloads the modules that they import, which the Builder
		// may restore from the build cache. Offline it can list all but those of other
		// modules.
		found, err := tool.List(ctx, append(slices.Clone(env), "GOPROXY=off", "GONOPROXY=none"), args, patterns...)
		if err == nil && len(found) > 0 && !slices.ContainsFunc(found, func(p gotool.Package) bool { return p.Error != nil }) {
			return found, nil
		}
	}
	return tool.List(ctx, env, args, patterns...)
}

// moduleOf returns the folder of the module that contains a package, relative to the
// plan's, and the package's path there. The folder is empty unless the package is in
// another module, which go only finds from within. In a workspace go finds it anyway.
func (r *resolver) moduleOf(pkg string) (module, pattern string) {
	rel := filepath.Clean(filepath.FromSlash(pkg))
	if !strings.HasPrefix(pkg, "./") || !filepath.IsLocal(rel) || r.env.Work != "" && r.env.Work != "off" {
		return "", pkg
	}
	for dir := rel; dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(r.plan.Dir, dir, "go.mod")); err != nil {
			continue
		}
		inside, _ := filepath.Rel(dir, rel) // which can't fail, because dir contains rel
		return filepath.ToSlash(dir), "./" + filepath.ToSlash(inside)
	}
	return "", pkg
}

// excluded reports whether build constraints exclude all files of a package but its
// tests.
func excluded(pkg gotool.Package) bool {
	if pkg.Error != nil {
		return strings.Contains(pkg.Error.Err, "build constraints exclude all Go files")
	}
	return pkg.ImportPath != "" && len(pkg.GoFiles)+len(pkg.CgoFiles) == 0
}

// needsCgo says why a main package needs cgo, if all its files are excluded and one
// imports "C": with CGO_ENABLED=0 go excludes such files like those for other platforms.
func (r *resolver) needsCgo(pkg gotool.Package) string {
	if !excluded(pkg) {
		return ""
	}
	for _, name := range pkg.IgnoredGoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, parser.ImportsOnly)
		if err != nil || f.Name.Name != "main" {
			continue
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"C"` {
				return fmt.Sprintf("needs cgo (%s imports \"C\"), and multimage compiles with CGO_ENABLED=0 so that every platform can be built anywhere, unless Go.CGO names C compilers", name)
			}
		}
	}
	return ""
}
