package targets

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/multimage/multimage/buildlib"
)

// console is where people and programs read: progress on standard error, as a
// line per finished step and on a terminal the running steps below; results
// on standard output.
type console struct {
	results io.Writer

	mu      sync.Mutex
	err     io.Writer
	width   func() int       // of the terminal; 0: it is none
	running []buildlib.Event // as they began
	began   []time.Time
	drawn   int // lines of the live view on the screen
	quit    chan struct{}
	drawing sync.WaitGroup
}

// refresh is how often the live view is drawn.
const refresh = 100 * time.Millisecond

func newConsole() *console {
	c := &console{results: os.Stdout, err: os.Stderr, width: func() int { return 0 }}
	if os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
		c.width = func() int { return terminalWidth(os.Stderr) }
	}
	return c
}

// start begins the live view, if there is a terminal; stop ends it.
func (c *console) start() {
	if c.width() == 0 {
		return
	}
	c.quit = make(chan struct{})
	c.drawing.Go(func() {
		ticker := time.NewTicker(refresh)
		defer ticker.Stop()
		for {
			select {
			case <-c.quit:
				return
			case <-ticker.C:
				c.mu.Lock()
				c.erase()
				c.draw()
				c.mu.Unlock()
			}
		}
	})
}

func (c *console) stop() {
	if c.quit == nil {
		return
	}
	close(c.quit)
	c.drawing.Wait()
	c.quit = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	c.running, c.began = nil, nil
}

// event takes a step of the work: it is a plan's Progress.
func (c *console) event(e buildlib.Event) {
	switch e.Step {
	case buildlib.StepDetail:
		log.Print(e.Subject) // mage -v shows it
		return
	case buildlib.StepWarn:
		c.say("warning: %s", e.Subject)
		return
	case buildlib.StepWait:
		c.say("waiting: %s", e.Subject)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.Done {
		c.running, c.began = append(c.running, e), append(c.began, time.Now())
		return
	}
	for i, r := range c.running {
		if r.Step == e.Step && r.Subject == e.Subject && r.Platform == e.Platform {
			c.running = append(c.running[:i], c.running[i+1:]...)
			c.began = append(c.began[:i], c.began[i+1:]...)
			break
		}
	}
	c.erase()
	fmt.Fprintln(c.err, line(e))
	c.draw()
}

// line is what is said of a finished step.
func line(e buildlib.Event) string {
	text := fmt.Sprintf("%-8s %s", e.Step, e.Subject)
	if e.Platform != "" {
		text = fmt.Sprintf("%-8s %-14s %s", e.Step, e.Platform, e.Subject)
	}
	if e.Detail != "" {
		text += "  " + shorten(e.Detail)
	}
	return text + "  " + elapsed(e.Elapsed) + left(e.Left-e.Elapsed)
}

// left says how long it will all take, if that is known.
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

// say prints a line for people.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	fmt.Fprintf(c.err, format+"\n", args...)
	c.draw()
}

// maxLive is how many running steps the live view shows.
const maxLive = 8

// draw writes the live view below what was printed. mu is held.
func (c *console) draw() {
	width := c.width()
	if c.quit == nil || width == 0 {
		return
	}
	for i, e := range c.running {
		text := fmt.Sprintf("> %-6s %-14s %s", e.Step, e.Platform, e.Subject)
		if i == maxLive-1 && len(c.running) > maxLive {
			text = fmt.Sprintf("> and %d more", len(c.running)-i)
		}
		since := time.Since(c.began[i])
		text += "  " + elapsed(since) + left(e.Left-since)
		if runes := []rune(text); len(runes) >= width {
			text = string(runes[:width-1])
		}
		fmt.Fprintln(c.err, text)
		if c.drawn++; c.drawn == maxLive {
			break
		}
	}
}

// erase takes the live view off the screen. mu is held.
func (c *console) erase() {
	if c.drawn > 0 {
		fmt.Fprintf(c.err, "\x1b[%dA\x1b[J", c.drawn)
		c.drawn = 0
	}
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

// near is a path as people want to read it: relative, if that is shorter.
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
