package git

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// walk reads HEAD and its ancestors, newest first.
type walk struct {
	head   commit
	lines  *bufio.Scanner
	stop   context.CancelFunc
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

type commit struct {
	hash    string
	parents []string
	time    time.Time
}

// newWalk starts git, whose output is read as it is needed, and reads HEAD.
func newWalk(ctx context.Context, top string) (*walk, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &walk{stop: stop, cmd: command(ctx, top, "rev-list", "--timestamp", "--parents", "HEAD", "--")}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("git rev-list: %w", err)
	}
	w.lines = bufio.NewScanner(out)
	w.lines.Buffer(nil, 1<<20) // a merge of some ten thousand
	head, ok, err := w.next()
	if err != nil || !ok {
		w.close()
		return nil, cmp.Or(err, errors.New("git rev-list: HEAD has no commit"))
	}
	w.head = head
	return w, nil
}

func (w *walk) close() {
	w.stop()
	_ = w.cmd.Wait() // an error is expected: it was killed, or waited for before
}

// next reads a commit.
func (w *walk) next() (commit, bool, error) {
	if !w.lines.Scan() {
		err := w.lines.Err()
		if waited := w.cmd.Wait(); err == nil && waited != nil {
			err = failure("rev-list", waited, w.stderr.Bytes())
		}
		return commit{}, false, err
	}
	f := strings.Fields(w.lines.Text())
	if len(f) < 2 || len(f[1]) < 40 {
		return commit{}, false, fmt.Errorf("git rev-list: unexpected %q", w.lines.Text())
	}
	// A time that int64 can't hold is also too late for us.
	seconds, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		seconds = math.MaxInt32 << 20
	}
	return commit{f[1], f[2:], time.Unix(seconds, 0).UTC()}, true, nil
}

// candidate is a commit with a version, during the walk.
type candidate struct {
	versionTag
	behind int    // commits so far that aren't its ancestors
	bit    uint64 // in the marks of its ancestors
}

// nearest returns the version of the nearest ancestor of HEAD that has one, in the form
// of git describe: of all, it lacks the fewest of HEAD's commits. other is the first of
// others on the way to it.
func (w *walk) nearest(versions, others map[string]versionTag) (version, other string, err error) {
	var found []candidate
	read := map[string]bool{w.head.hash: true}
	ahead := map[string]uint64{} // the next commits, marked with the candidates that they are ancestors of
	for _, p := range w.head.parents {
		ahead[p] = 0
	}
	for count := 1; ; count++ {
		c, ok, err := w.next()
		if err != nil {
			return "", "", err
		}
		if !ok {
			break
		}
		marks := ahead[c.hash]
		delete(ahead, c.hash)
		read[c.hash] = true
		if v, ok := versions[c.hash]; ok && len(found) < 64 {
			bit := uint64(1) << len(found)
			found = append(found, candidate{v, count, bit})
			marks |= bit
		}
		if n, ok := others[c.hash]; ok && len(found) == 0 && other == "" {
			other = n.name
		}
		for i := range found {
			if marks&found[i].bit == 0 {
				found[i].behind++
			}
		}
		for _, p := range c.parents {
			if !read[p] { // because of a wrong clock it may have come first
				ahead[p] |= marks
			}
		}
		if len(found) == 0 {
			continue
		}
		best := slices.MinFunc(found, func(a, b candidate) int { return a.behind - b.behind }) // the first of equal ones
		version = fmt.Sprintf("%s-%d-g%s", best.text, best.behind, w.head.hash[:12])
		settled := true
		for _, marks := range ahead {
			settled = settled && marks&best.bit != 0
		}
		if settled { // the rest can change neither which is best nor its distance
			break
		}
	}
	return version, other, nil
}
