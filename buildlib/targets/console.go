package targets

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/multimage/multimage/buildlib"
)

// console prints results to standard output and progress to standard error: a line for
// each finished step, and on a terminal the running steps below. Targets that run at
// once share it.
type console struct {
	results io.Writer

	mu      sync.Mutex
	err     io.Writer
	size    func() (columns, rows int) // of the terminal; 0: err isn't one
	beat    time.Duration              // how often a log gets a line of what still runs
	targets int                        // number of running targets
	watch   *watch                     // while a target runs
	running []running
	waiting string // for another run, before any step
	since   time.Time
	drawn   []int // the columns of each line of the live view on the screen
}

// running is a step that has begun.
type running struct {
	buildlib.Event
	began time.Time
}

// watch is the goroutine that shows what runs, until quit is closed.
type watch struct{ quit, done chan struct{} }

const (
	refresh   = 100 * time.Millisecond // how often the live view is drawn
	heartbeat = 30 * time.Second
)

func newConsole() *console {
	c := &console{results: os.Stdout, err: os.Stderr, size: func() (int, int) { return 0, 0 }, beat: heartbeat}
	if os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
		c.size = func() (int, int) { return terminalSize(os.Stderr) }
	}
	return c
}

// start is called when a target begins, and stop when it ends.
func (c *console) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.targets++; c.targets > 1 {
		return
	}
	w := &watch{make(chan struct{}), make(chan struct{})}
	c.watch = w
	go func() {
		defer close(w.done)
		ticker := time.NewTicker(refresh)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-w.quit:
				return
			case now := <-ticker.C:
				c.print(func() {
					if columns, _ := c.size(); columns == 0 && now.Sub(last) >= c.beat {
						last = now
						c.logRunning(now)
					}
				})
			}
		}
	}()
}

func (c *console) stop() {
	c.mu.Lock()
	if c.targets--; c.targets > 0 {
		c.mu.Unlock()
		return
	}
	c.erase()
	w := c.watch
	c.watch, c.running, c.waiting = nil, nil, ""
	c.mu.Unlock()
	close(w.quit)
	<-w.done
}

// event shows an event: it is a Builder's Options.Progress.
func (c *console) event(e buildlib.Event) {
	switch e.Step {
	case buildlib.StepDetail:
		c.print(func() { log.Print(cleanLine(e.Subject)) }) // mage -v shows it
	case buildlib.StepWarn:
		c.warn(e.Subject)
	case buildlib.StepWait:
		c.print(func() {
			if len(c.running) == 0 {
				c.waiting, c.since = e.Subject, time.Now()
			}
			fmt.Fprintf(c.err, "waiting: %s\n", cleanLine(e.Subject))
		})
	default:
		c.step(e)
	}
}

// step shows the begin, the progress or the end of a step.
func (c *console) step(e buildlib.Event) {
	c.mu.Lock()
	c.waiting = ""
	at := slices.IndexFunc(c.running, func(r running) bool {
		return r.Step == e.Step && r.Subject == e.Subject && r.Platform == e.Platform
	})
	switch {
	case e.Progress != "" && at >= 0:
		c.running[at].Progress = e.Progress
	case e.Progress != "":
	case !e.Done:
		c.running = append(c.running, running{e, time.Now()})
	case at >= 0:
		c.running = slices.Delete(c.running, at, at+1)
	}
	c.mu.Unlock()
	if e.Progress == "" && e.Done && e.Err == nil { // mage prints errors
		c.print(func() { fmt.Fprintln(c.err, line(e)) })
	}
}

// line is the line of a finished step.
func line(e buildlib.Event) string {
	text := name(e)
	if e.Detail != "" {
		text += "  " + shorten(cleanLine(e.Detail))
	}
	return text + "  " + elapsed(e.Elapsed) + left(e.Left-e.Elapsed)
}

// name names a step.
func name(e buildlib.Event) string {
	if e.Platform == "" {
		return fmt.Sprintf("%-8s %s", e.Step, cleanLine(e.Subject))
	}
	return fmt.Sprintf("%-8s %-14s %s", e.Step, e.Platform, cleanLine(e.Subject))
}

// soFar is a step's progress followed by end, if it is known.
func soFar(e buildlib.Event, end string) string {
	if e.Progress == "" {
		return ""
	}
	return cleanLine(e.Progress) + end
}

// left is the time left, if it is known.
func left(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	if d < time.Minute {
		return fmt.Sprintf("  (about %.0fs left)", d.Seconds())
	}
	return fmt.Sprintf("  (about %.0fm left)", d.Minutes())
}

// shorten keeps a digest recognizable in 80 columns.
func shorten(detail string) string {
	if hex, ok := strings.CutPrefix(detail, "sha256:"); ok && len(hex) == 64 {
		return "sha256:" + hex[:12]
	}
	return detail
}

// warn prints a warning, in the words of those who use mage.
func (c *console) warn(text string) { c.say("warning: %s", spoken.Replace(text)) }

// say prints text for people, perhaps several lines.
func (c *console) say(format string, args ...any) {
	c.print(func() { fmt.Fprintln(c.err, clean(fmt.Sprintf(format, args...))) })
}

// result prints what programs read.
func (c *console) result(text string) (err error) {
	// If nobody reads on (| head), writing fails and the program isn't killed.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	c.print(func() {
		_, err = io.WriteString(c.results, text)
		if f, ok := c.results.(*os.File); ok && err == nil {
			err = flush(f)
		}
	})
	if err != nil {
		return fmt.Errorf("the results could not be written to standard output: %w", err)
	}
	return nil
}

// print takes the live view off the screen while a function prints.
func (c *console) print(printing func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	printing()
	c.draw()
}

// maxLogged is how many running steps a line in a log names.
const maxLogged = 3

// logRunning prints a line of what still runs, for a log. mu is held.
func (c *console) logRunning(now time.Time) {
	var steps []string
	for i, r := range c.running {
		if i == maxLogged {
			steps = append(steps, fmt.Sprintf("and %d more", len(c.running)-i))
			break
		}
		since := now.Sub(r.began)
		steps = append(steps, strings.Join(strings.Fields(name(r.Event)), " ")+" ("+soFar(r.Event, ", ")+lasted(since)+")"+left(r.Left-since))
	}
	if len(steps) > 0 {
		fmt.Fprintf(c.err, "running  %s\n", strings.Join(steps, ", "))
	} else if c.waiting != "" {
		fmt.Fprintf(c.err, "waiting: %s (for %s)\n", cleanLine(c.waiting), lasted(now.Sub(c.since)))
	}
}

func lasted(d time.Duration) string { return d.Round(time.Second).String() }

// maxLive is how many running steps the live view shows.
const maxLive = 8

// draw writes the live view below what was printed. mu is held.
func (c *console) draw() {
	columns, rows := c.size()
	if c.watch == nil || columns == 0 {
		return
	}
	most := maxLive
	if rows > 0 {
		most = max(1, min(most, rows-2))
	}
	for i, r := range c.running {
		since := time.Since(r.began)
		text, end := "> "+name(r.Event), "  "+soFar(r.Event, "  ")+elapsed(since)+left(r.Left-since)
		if i == most-1 && len(c.running) > most {
			text = fmt.Sprintf("> and %d more", len(c.running)-i)
		}
		// The time stays, however long the name is. A line that fills the last
		// column would wrap on some terminals.
		text = fit(fit(text, columns-1-width(end))+end, columns-1)
		fmt.Fprintln(c.err, text)
		if c.drawn = append(c.drawn, width(text)); len(c.drawn) == most {
			break
		}
	}
}

// erase takes the live view off the screen. mu is held.
func (c *console) erase() {
	if len(c.drawn) == 0 {
		return
	}
	// A terminal that became narrower has wrapped the lines.
	lines := len(c.drawn)
	if columns, _ := c.size(); columns > 0 {
		lines = 0
		for _, w := range c.drawn {
			lines += max(1, (w+columns-1)/columns)
		}
	}
	fmt.Fprintf(c.err, "\x1b[%dA\x1b[J", lines)
	c.drawn = nil
}

// width is roughly how many columns text takes on a terminal: two for each wide
// character of East Asia and for emoji.
func width(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
			r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0x1f300) {
			n++
		}
	}
	return n
}

// fit cuts text to a number of columns.
func fit(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	n := 0
	for i, r := range text {
		if n += width(string(r)); n > columns-1 {
			return strings.TrimRight(text[:i], " ") + strings.Repeat("…", min(1, max(0, columns)))
		}
	}
	return text
}

func elapsed(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// near is a path for people to read: relative, if that is shorter.
func near(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}
