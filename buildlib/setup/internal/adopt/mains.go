package adopt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/multimage/multimage/buildlib"
)

// findMains lists the main packages of each module in the project.
func (p *project) findMains(ctx context.Context) error {
	modules := []string{}
	err := p.walk(func(rel string, d fs.DirEntry) {
		if d.Name() == "go.mod" {
			modules = append(modules, path.Dir(rel))
		}
	})
	if err != nil {
		return err
	}
	if len(modules) == 0 {
		return fmt.Errorf("%s: no go.mod here or below: run setup in a project's folder", p.dir)
	}
	for _, module := range modules {
		if err := p.listMains(ctx, module); err != nil {
			return fmt.Errorf("module %s: %w", module, err)
		}
	}
	below := slices.ContainsFunc(p.mains, func(m mainPackage) bool { return m.found && m.dir != "." })
	for i := range p.mains {
		m := &p.mains[i]
		if m.dir == "." && below {
			m.found = false // multimage finds the root only if there is none below cmd
		}
		m.ambiguous = slices.ContainsFunc(p.mains, func(o mainPackage) bool { return o.name == m.name && o.dir != m.dir && !o.auxiliary() })
	}
	return nil
}

// listMains asks go for a module's main packages, which needs no network.
func (p *project) listMains(ctx context.Context, module string) error {
	cmd := exec.CommandContext(ctx, "go", "list", "-find", "-e", "-json=ImportPath,Dir,Name,Target", "./...")
	cmd.Dir = filepath.Join(p.dir, filepath.FromSlash(module))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOWORK=off", "GOFLAGS=-mod=readonly", "GOBIN=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct{ ImportPath, Dir, Name, Target string }
		if err := d.Decode(&listed); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if listed.Name != "main" {
			continue
		}
		// go resolves links in Dir; the project's path may have some.
		rel, err := filepath.Rel(resolve(cmd.Dir), resolve(listed.Dir))
		if err != nil {
			return err
		}
		inModule := filepath.ToSlash(rel)
		m := mainPackage{importPath: listed.ImportPath, dir: path.Join(module, inModule), name: filepath.Base(listed.Target)}
		m.found = module == "." && (inModule == "." || strings.HasPrefix(inModule, "cmd/"))
		p.mains = append(p.mains, m)
	}
}

func resolve(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// auxiliary reports whether m looks like a development tool or an example, which nobody
// wants an image of.
func (m mainPackage) auxiliary() bool {
	return !m.found && slices.ContainsFunc(strings.Split(m.dir, "/"), func(element string) bool {
		return slices.Contains([]string{"example", "examples", "_examples", "hack", "internal", "scripts", "script", "test", "tests", "tools", "tool", "e2e", "docs"}, element)
	})
}

// mainAt returns the main package in a folder of the project.
func (p *project) mainAt(dir string) *mainPackage {
	for i := range p.mains {
		if p.mains[i].dir == path.Clean(dir) {
			return &p.mains[i]
		}
	}
	return nil
}

// mainNamed returns the main package whose executable has the name, alone or followed by
// a platform. Of several it returns the one with the longest name.
func (p *project) mainNamed(name string) *mainPackage {
	var match *mainPackage
	for i := range p.mains {
		m := &p.mains[i]
		rest, ok := strings.CutPrefix(name, m.executable())
		if !ok || m.auxiliary() || rest != "" && !strings.ContainsAny(rest[:1], "-_.") {
			continue
		}
		if rest == "" && !m.ambiguous {
			return m
		}
		if match == nil || len(m.executable()) > len(match.executable()) {
			match = m
		}
	}
	return match
}

// onlyMain returns the project's main package if it has only one.
func (p *project) onlyMain() *mainPackage {
	var only *mainPackage
	for i := range p.mains {
		if p.mains[i].auxiliary() {
			continue
		}
		if only != nil {
			return nil
		}
		only = &p.mains[i]
	}
	return only
}

// executable is the name of m's executable.
func (m *mainPackage) executable() string {
	if m.binary != nil {
		return m.binary.Name
	}
	return m.name
}

// use makes m one of the project's binaries. It has the go command's default name,
// unless that is ambiguous.
func (m *mainPackage) use() *buildlib.Binary {
	if m.binary == nil {
		name := m.name
		if m.ambiguous {
			name = strings.ReplaceAll(strings.Trim(strings.ReplaceAll("/"+m.dir+"/", "/cmd/", "/"), "/"), "/", "-")
		}
		m.binary = &buildlib.Binary{Name: name}
	}
	return m.binary
}

// finishBinaries sets Go, and Binaries if the defaults would build other ones.
func (p *project) finishBinaries() {
	var used []*mainPackage
	anyFound := false
	for i := range p.mains {
		m := &p.mains[i]
		anyFound = anyFound || m.found
		if m.binary != nil {
			used = append(used, m)
		}
	}
	declare := !anyFound && len(used) == 0 // for example in a monorepo: all that aren't auxiliary
	for i := range p.mains {
		if m := &p.mains[i]; declare && !m.auxiliary() {
			m.use()
			used = append(used, m)
		}
	}
	if len(used) == 0 {
		return
	}
	same := !slices.ContainsFunc(used, func(m *mainPackage) bool { return !reflect.DeepEqual(m.binary.Go, used[0].binary.Go) })
	if same {
		p.Go = used[0].binary.Go
	}
	for _, m := range used {
		if same {
			m.binary.Go = buildlib.GoBuild{}
		}
		declare = declare || !m.found || !reflect.DeepEqual(*m.binary, buildlib.Binary{Name: m.name})
	}
	if !declare {
		return
	}
	for _, m := range used {
		b := *m.binary
		if b.Package = "./" + m.dir; m.dir == "." {
			b.Package = "."
		}
		if b.Package == "./cmd/"+b.Name {
			b.Package = ""
		}
		p.Binaries = append(p.Binaries, b)
	}
}
