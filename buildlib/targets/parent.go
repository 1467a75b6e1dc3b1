package targets

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// parents are the processes that wait for this one when it starts: mage, and for
// "go tool mage" also the go command. If one of them is killed, the process below it
// lives on with a new parent.
//
// The parent of a compiled magefile (mage -compile) is none of them. It may end
// first: a shell that started it with nohup or &, or a step of a CI system.
var parents = findParents()

type generation struct {
	mage int // the parent, if it is mage, else 0
	tool int // the parent's parent, if it is the go command, else 0
}

func findParents() generation {
	if self, err := os.Executable(); err != nil || !ofMage(self) {
		return generation{}
	}
	g := generation{mage: os.Getppid()}
	if p, ok := lookUp(g.mage); ok {
		if above, ok := lookUp(p.parent); ok && above.name == "go" {
			g.tool = p.parent
		}
	}
	return g
}

// kept matches the names that mage gives to compiled magefiles in its cache: the
// SHA-256 of their sources, in older versions the SHA-1.
var kept = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})(\.exe)?$`)

// ofMage reports whether a program is a magefile in mage's cache, which only mage runs.
func ofMage(program string) bool { return kept.MatchString(filepath.Base(program)) }

// lost reports whether one of the waiting processes has ended.
func (g generation) lost() bool {
	if g.mage == 0 {
		return false
	}
	if os.Getppid() != g.mage {
		return true
	}
	if g.tool == 0 {
		return false
	}
	p, ok := lookUp(g.mage)
	return ok && p.parent != g.tool
}

// process is a process of the system.
type process struct {
	name   string // of its program, without the folder
	parent int    // process id
}

var errParent = errors.New("stopped: the process that started this one has ended")

// watchParents cancels the work when mage, or the go command that runs it, is killed:
// the compiled magefile would go on.
func watchParents(ctx context.Context, cancel context.CancelCauseFunc) {
	if parents.mage == 0 {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if parents.lost() {
				cancel(errParent)
				return
			}
		}
	}
}
