package gotool

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// countAfter is how long a go build lasts, and countFrom how many packages it has begun
// by then, before it is worth a second command, of a second or so, that says how many
// there are to compile. One that only links lasts, too.
var (
	countAfter = 5 * time.Second
	countFrom  = 10
)

// counting takes what go build -v prints: an import path, alone on a line, when
// it begins to compile a package, and all else, which it passes on to said.
type counting struct {
	tell func(done, all int)
	said *bytes.Buffer
	rest []byte // a line that hasn't ended, which go doesn't leave so

	mu    sync.Mutex
	begun map[string]bool
	stale []string // what was to be compiled when go was asked; nil: not known
}

// importPath is a line that go build -v prints; a compiler's have spaces.
var importPath = regexp.MustCompile(`^[\w.~\-/+!@]+$`)

func (c *counting) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	for {
		line, rest, whole := bytes.Cut(c.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if importPath.Match(line) {
			c.begin(string(line))
		} else {
			c.said.Write(c.rest[:len(line)+1])
		}
		c.rest = rest
	}
}

func (c *counting) begin(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[path] = true
	if c.stale == nil {
		return
	}
	all := len(c.begun)
	for _, p := range c.stale {
		if !c.begun[p] {
			all++
		}
	}
	c.tell(len(c.begun), all)
}

func (c *counting) few() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.begun) < countFrom
}

// ask asks go, if the build lasts, which packages are not in its cache.
func (c *counting) ask(ctx context.Context, g Go, b Build) {
	for c.few() {
		select {
		case <-time.After(countAfter):
		case <-ctx.Done():
			return
		}
	}
	args := slices.Concat([]string{"list", "-e", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, b.Args, []string{"--"}, b.packages())
	out, err := g.output(ctx, b.Env, args...)
	if err != nil {
		return // how far the build is stays unknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = strings.Fields(string(out))
}
