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

// A second go command, which takes a second or so, counts the packages to compile once
// a go build has lasted for countAfter and begun countFrom packages: a build that only
// links may last, too.
var (
	countAfter = 5 * time.Second
	countFrom  = 10
)

// counting reads what go build -v prints: an import path, alone on a line, when it
// begins to compile a package. Everything else it passes on to messages.
type counting struct {
	progress func(done, all int)
	messages *bytes.Buffer
	rest     []byte // a line that hasn't ended yet

	mu    sync.Mutex
	begun map[string]bool
	stale []string // what was to be compiled when go was asked; nil: not known
}

// importPath matches the lines of go build -v; those of compilers have spaces.
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
			c.messages.Write(c.rest[:len(line)+1])
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
	c.progress(len(c.begun), all)
}

func (c *counting) few() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.begun) < countFrom
}

// ask asks go which packages are not in its cache, if the build lasts.
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
		return // without progress
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = strings.Fields(string(out))
}
