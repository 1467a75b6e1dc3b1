package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/bench"
)

// digestOf is a digest of one repeated digit.
func digestOf(digit string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}
}

// captured is a console without a terminal, and what it prints.
func captured() (c *console, results, said *strings.Builder) {
	results, said = &strings.Builder{}, &strings.Builder{}
	return &console{results: results, err: said, size: func() (int, int) { return 0, 0 }, beat: time.Hour}, results, said
}

func TestLine(t *testing.T) {
	for _, tt := range []struct {
		event buildlib.Event
		want  string
	}{
		{buildlib.Event{Step: buildlib.StepCompile, Subject: "apiserver, router, agent", Platform: "linux/amd64", Elapsed: 12*time.Second + 340*time.Millisecond},
			"compile  linux/amd64    apiserver, router, agent  12.3s"},
		{buildlib.Event{Step: buildlib.StepCompile, Subject: "hello", Platform: "linux/riscv64/rva22u64", Detail: "unchanged", Elapsed: 50 * time.Millisecond},
			"compile  linux/riscv64/rva22u64 hello  unchanged  0.05s"},
		{buildlib.Event{Step: buildlib.StepImage, Subject: "router", Platform: "linux/arm/v7", Detail: digestOf("a").String(), Elapsed: time.Second},
			"image    linux/arm/v7   router  sha256:aaaaaaaaaaaa  1.00s"},
		{buildlib.Event{Step: buildlib.StepBase, Subject: "alpine:3.24", Platform: "linux/arm64", Detail: digestOf("b").String(), Elapsed: 90 * time.Second},
			"base     linux/arm64    alpine:3.24  sha256:bbbbbbbbbbbb  1m30s"},
		{buildlib.Event{Step: buildlib.StepPush, Subject: "ghcr.io/acme/router", Detail: "latest: 4 blobs, 31.4 MB", Elapsed: 3 * time.Second},
			"push     ghcr.io/acme/router  latest: 4 blobs, 31.4 MB  3.00s"},
	} {
		got := line(tt.event)
		if got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
		if len(got) > 80 {
			t.Errorf("%d columns, more than a terminal's 80: %s", len(got), got)
		}
	}
}

func TestTable(t *testing.T) {
	c, results, said := captured()
	c.write(platforms([]buildlib.ImageResult{
		{Name: "apiserver", Digest: digestOf("a"), Platforms: []buildlib.PlatformResult{
			{Platform: buildlib.Platform{OS: "linux", Architecture: "amd64"}, Digest: digestOf("b"), Size: 45_678_901, Elapsed: 61 * time.Second},
			{Platform: buildlib.Platform{OS: "linux", Architecture: "riscv64", Variant: "rva22u64"}, Digest: digestOf("c"), Size: 1_234_567_890, Elapsed: 1230 * time.Millisecond},
		}},
		{Name: "agent", Digest: digestOf("d"), Platforms: []buildlib.PlatformResult{
			{Platform: buildlib.Platform{OS: "linux", Architecture: "amd64"}, Digest: digestOf("e"), Size: 999, Elapsed: 40 * time.Millisecond},
		}},
	}))
	want := `
IMAGE      PLATFORM                SIZE     DIGEST               TIME
apiserver  index                            sha256:aaaaaaaaaaaa  
           linux/amd64             45.7 MB  sha256:bbbbbbbbbbbb  1m1s
           linux/riscv64/rva22u64  1.23 GB  sha256:cccccccccccc  1.23s
agent      index                            sha256:dddddddddddd  
           linux/amd64             1.0 kB   sha256:eeeeeeeeeeee  0.04s

`
	if said.String() != want {
		t.Errorf("got\n%q\nwant\n%q", said, want)
	}
	for l := range strings.Lines(said.String()) {
		if len(l) > 81 {
			t.Errorf("%d columns, more than a terminal's 80: %s", len(l)-1, l)
		}
	}
	if results.Len() > 0 {
		t.Errorf("standard output, which programs read, got %q", results)
	}
}

// The tags are told apart: those that were written, those that were right
// already, and those that aren't; the last only if there are any.
func TestTagsTable(t *testing.T) {
	images := []buildlib.ImageResult{
		{Name: "router", Published: []buildlib.Publication{
			{Repository: "ghcr.io/acme/router", Written: []string{"v1.2.3"}, Current: []string{"latest"}},
			{Repository: "docker.io/acme/router", Failed: []string{"v1.2.3", "latest"}, Err: errors.New("down")},
		}},
		{Name: "agent", Published: []buildlib.Publication{
			{Repository: "ghcr.io/acme/agent", Err: errors.New("down")},
			{Repository: "docker.io/acme/agent", Written: []string{"v1.2.3"}, Failed: []string{"latest"}, Err: errors.New("down")},
		}},
	}
	for _, tt := range []struct {
		images []buildlib.ImageResult
		want   string
	}{
		{images, `
REPOSITORY             WRITTEN  UP TO DATE  FAILED
ghcr.io/acme/router    v1.2.3   latest      
docker.io/acme/router                       v1.2.3, latest
ghcr.io/acme/agent                          the index
docker.io/acme/agent   v1.2.3               latest

`},
		{[]buildlib.ImageResult{{Name: "router", Published: images[0].Published[:1]}}, `
REPOSITORY           WRITTEN  UP TO DATE
ghcr.io/acme/router  v1.2.3   latest

`},
		{[]buildlib.ImageResult{{Name: "local"}}, ""},
	} {
		c, results, said := captured()
		c.failed(t.Context(), tt.images)
		if said.String() != tt.want || results.Len() > 0 {
			t.Errorf("got\n%s\nwant\n%s\nand on standard output %q", said, tt.want, results)
		}
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	c, _, said := captured()
	if c.failed(cut, images); said.Len() > 0 {
		t.Errorf("what was cut off says\n%s", said)
	}
}

// There is an empty line before the first table, whichever that is.
func TestFirstTable(t *testing.T) {
	c, _, said := captured()
	if err := c.outdated(buildlib.Outdated{Packages: []buildlib.PackageChange{{Image: "a", Name: "git", Old: "1", New: "2"}}}, ""); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(said.String(), "\nIMAGE ") {
		t.Errorf("the table is not set apart: %q", said)
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0.0 kB", 999: "1.0 kB", 1000: "1.0 kB", 123_456: "123.5 kB", 1_000_000: "1.0 MB", 31_415_926: "31.4 MB", 1_000_000_000: "1.00 GB", 98_765_432_100: "98.77 GB",
	} {
		if got := bytes(n); got != want {
			t.Errorf("bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.00s", 4 * time.Millisecond: "0.00s", 45 * time.Millisecond: "0.04s", 9990 * time.Millisecond: "9.99s", 10 * time.Second: "10.0s",
		59*time.Second + 940*time.Millisecond: "59.9s", time.Minute: "1m0s", 236*time.Second + 500*time.Millisecond: "3m57s", 2 * time.Hour: "2h0m0s",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%v) = %s, want %s", d, got, want)
		}
	}
	for text, want := range map[string]string{
		digestOf("a").String():          "sha256:aaaaaaaaaaaa",
		"sha256:abc":                    "sha256:abc",
		"unchanged":                     "unchanged",
		digestOf("a").String() + " new": digestOf("a").String() + " new",
	} {
		if got := shorten(text); got != want {
			t.Errorf("shorten(%s) = %s, want %s", text, got, want)
		}
	}
}

func TestNear(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for path, want := range map[string]string{
		filepath.Join(dir, "dist", "bin", "x"): filepath.Join("dist", "bin", "x"),
		"/x":                                   "/x", // shorter than the way there
	} {
		if got := near(path); got != want {
			t.Errorf("near(%s) = %s, want %s", path, got, want)
		}
	}
}

// What programs read is on standard output, a line per result; what people
// read is on standard error.
func TestReports(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	a := digestOf("a")
	at := filepath.Join(dir, "dist", "oci", "router")
	local := buildlib.ImageResult{Name: "router", Digest: a, Tags: []string{"v1", "latest"}, Layout: at}
	pushed := local
	pushed.Refs = []buildlib.Ref{{Repository: "ghcr.io/acme/router", Digest: a}, {Repository: "docker.io/acme/router", Digest: a}}
	skipped := &buildlib.Plan{Skipped: []string{"image tray"}}
	for _, tt := range []struct {
		name     string
		report   func(*console) error
		results  string
		contains []string
	}{
		{"binaries", func(c *console) error {
			return c.binaries(&buildlib.Plan{}, []buildlib.BinaryResult{{Path: filepath.Join(dir, "dist", "bin", "x")}, {Path: filepath.Join(dir, "dist", "bin", "y.exe")}})
		}, "dist/bin/x\ndist/bin/y.exe\n", nil},
		{"no binaries", func(c *console) error { return c.binaries(skipped, nil) }, "", []string{"nothing to build: the platforms asked for leave out image tray\n"}},
		{"images", func(c *console) error { return c.images(skipped, []buildlib.ImageResult{local}) }, "dist/oci/router@" + a.String() + "\n",
			[]string{"IMAGE", "skipped: not built for the requested platforms: image tray\n"}},
		{"published", func(c *console) error { return c.published(&buildlib.Plan{}, []buildlib.ImageResult{pushed}) },
			"ghcr.io/acme/router@" + a.String() + "\ndocker.io/acme/router@" + a.String() + "\n", []string{"IMAGE"}},
		{"published nowhere", func(c *console) error { return c.published(&buildlib.Plan{}, []buildlib.ImageResult{local}) },
			"dist/oci/router@" + a.String() + "\n", []string{"no registry is configured: router is tagged v1, latest in the layout dist/oci/router\n"}},
		{"pushed", func(c *console) error {
			return c.pushed(&buildlib.Plan{Output: filepath.Join(dir, "dist")}, []buildlib.Record{
				{Image: "router", Platform: buildlib.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, Digest: a, Size: 31_415_926, Repositories: []string{"ghcr.io/acme/router", "docker.io/acme/router"}},
				{Image: "router", Platform: buildlib.Platform{OS: "linux", Architecture: "arm64"}, Digest: digestOf("b"), Size: 31_415_926, Repositories: []string{"ghcr.io/acme/router"}},
			})
		}, "ghcr.io/acme/router@" + a.String() + "\ndocker.io/acme/router@" + a.String() + "\nghcr.io/acme/router@" + digestOf("b").String() + "\n", []string{
			"IMAGE   PLATFORM      SIZE     DIGEST\nrouter  linux/arm/v7  31.4 MB  sha256:aaaaaaaaaaaa\n        linux/arm64   31.4 MB  sha256:bbbbbbbbbbbb\n",
			"records for ci:merge are in dist/digests\n",
		}},
		{"loaded", func(c *console) error {
			return c.loaded([]buildlib.LoadResult{{Name: "router", Engine: "podman", Run: "podman run --rm localhost/router:v1", Platform: buildlib.Platform{OS: "linux", Architecture: "arm64"}, Refs: []string{"localhost/router:v1"}, Note: "podman adds localhost/"}})
		}, "localhost/router:v1\n", []string{"loaded router for linux/arm64: run it with\n  podman run --rm localhost/router:v1\n", "podman adds localhost/\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, results, said := captured()
			if err := tt.report(c); err != nil {
				t.Error(err)
			}
			if got := filepath.ToSlash(results.String()); got != tt.results {
				t.Errorf("standard output\n%s\nwant\n%s", got, tt.results)
			}
			for _, want := range tt.contains {
				if !strings.Contains(filepath.ToSlash(said.String()), want) {
					t.Errorf("standard error\n%s\ndoesn't say\n%s", said, want)
				}
			}
		})
	}
}

// Without a terminal there is a line per finished step, and nothing that moves
// a cursor.
func TestPlainProgress(t *testing.T) {
	c, _, said := captured()
	c.start()
	compile := buildlib.Event{Step: buildlib.StepCompile, Subject: "x", Platform: "linux/amd64"}
	c.event(compile)
	c.event(buildlib.Event{Step: buildlib.StepWarn, Subject: "a base is old", Done: true})
	c.event(buildlib.Event{Step: buildlib.StepWait, Subject: "process 7 is at work", Done: true})
	compile.Done, compile.Elapsed = true, time.Second
	c.event(compile)
	c.stop()
	want := "warning: a base is old\nwaiting: process 7 is at work\ncompile  linux/amd64    x  1.00s\n"
	if said.String() != want {
		t.Errorf("got\n%s\nwant\n%s", said, want)
	}
}

// A log is told now and then what still runs, and for whom a run waits.
func TestHeartbeat(t *testing.T) {
	c, _, said := captured()
	c.beat = time.Nanosecond
	c.start()
	c.event(buildlib.Event{Step: buildlib.StepWait, Subject: "process 7 is at work", Done: true})
	time.Sleep(3 * refresh)
	for i := range 5 {
		c.event(buildlib.Event{Step: buildlib.StepPush, Subject: fmt.Sprintf("ghcr.io/acme/app%d", i)})
	}
	time.Sleep(3 * refresh)
	c.stop()
	for _, want := range []string{
		"waiting: process 7 is at work\nwaiting: process 7 is at work (for 0s)\n",
		"running  push ghcr.io/acme/app0 (0s), push ghcr.io/acme/app1 (0s), push ghcr.io/acme/app2 (0s), and 2 more\n",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("got\n%s\nwithout\n%s", said, want)
		}
	}
}

// Whatever the name, the time stays in view.
func TestLongNames(t *testing.T) {
	for _, columns := range []int{20, 40, 80, 200} {
		c, _, said := captured()
		c.size = func() (int, int) { return columns, 24 }
		c.start()
		c.event(buildlib.Event{Step: buildlib.StepCompile, Platform: "linux/amd64", Subject: strings.Repeat("long-漢", 40)})
		c.print(func() {})
		c.stop()
		drawn, _, _ := strings.Cut(said.String(), "\n")
		if width(drawn) >= columns || !strings.HasSuffix(drawn, "…  0.00s") {
			t.Errorf("%d columns, on a terminal of %d: %q", width(drawn), columns, drawn)
		}
	}
}

// A terminal that became narrower has wrapped what was drawn.
func TestResize(t *testing.T) {
	c, _, said := captured()
	columns := 80
	c.size = func() (int, int) { return columns, 24 }
	c.start()
	defer c.stop()
	c.event(buildlib.Event{Step: buildlib.StepCompile, Platform: "linux/amd64", Subject: strings.Repeat("x", 100)})
	c.print(func() {})
	c.mu.Lock()
	columns = 30
	c.erase()
	c.mu.Unlock()
	if !strings.HasSuffix(said.String(), "\x1b[3A\x1b[J") { // 79 columns in three lines
		t.Errorf("got %q", said)
	}
}

// Targets that run at once share the view; it is there until the last one ends.
func TestTargetsAtOnce(t *testing.T) {
	c, _, _ := captured()
	c.size = func() (int, int) { return 80, 24 }
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c.start()
			e := buildlib.Event{Step: buildlib.StepImage, Subject: "x"}
			c.event(e)
			e.Done = true
			c.event(e)
			c.say("x")
			c.stop()
		})
	}
	all.Wait()
	if c.targets != 0 || c.watch != nil || len(c.running) > 0 || len(c.drawn) > 0 {
		t.Errorf("left: %+v", c)
	}
}

// What outsiders write stays text.
func TestForeignText(t *testing.T) {
	c, _, said := captured()
	c.start()
	e := buildlib.Event{Step: buildlib.StepBase, Subject: "a\x1b[2J\n::error::b", Detail: "c\r\nd", Done: true}
	c.event(e)
	e.Step = buildlib.StepWait
	c.event(e)
	c.say("warning: %s", "x\n::error::\u202ey")
	c.write(func(w io.Writer) { fmt.Fprintln(w, "##[error]x") })
	c.stop()
	want := "base     a\\x1b[2J\\n\\x3a:error::b  c\\x0d\\nd  0.00s\nwaiting: a\\x1b[2J\\n\\x3a:error::b\n" +
		"warning: x\n\\x3a:error::\\u202ey\n\n\\x23#[error]x\n\n"
	if said.String() != want {
		t.Errorf("got  %q\nwant %q", said, want)
	}
}

// A result that nobody gets is an error, of every target.
func TestResultsAreWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	defer full.Close()
	read, unread, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer unread.Close()
	images := []buildlib.ImageResult{{Name: "x", Layout: "/x", Digest: digestOf("a")}}
	for name, report := range map[string]func(*console) error{
		"binaries":  func(c *console) error { return c.binaries(&buildlib.Plan{}, []buildlib.BinaryResult{{Path: "/x"}}) },
		"images":    func(c *console) error { return c.images(&buildlib.Plan{}, images) },
		"published": func(c *console) error { return c.published(&buildlib.Plan{}, images) },
		"pushed": func(c *console) error {
			return c.pushed(&buildlib.Plan{}, []buildlib.Record{{Repositories: []string{"x"}, Digest: digestOf("a")}})
		},
		"loaded":  func(c *console) error { return c.loaded([]buildlib.LoadResult{{Refs: []string{"x"}}}) },
		"benched": func(c *console) error { return c.benched(&bench.Result{Table: "x"}) },
	} {
		for why, out := range map[error]*os.File{syscall.ENOSPC: full, syscall.EPIPE: unread} {
			c, _, _ := captured()
			c.results = out
			if err := report(c); !errors.Is(err, why) || !strings.Contains(err.Error(), "could not be written to standard output") {
				t.Errorf("%s: %v, want %v", name, err, why)
			}
		}
	}
}

// On a terminal the running steps are drawn below the finished ones, never
// wider than it is, and taken off in the end.
func TestLiveView(t *testing.T) {
	c, _, said := captured()
	c.size = func() (int, int) { return 40, 24 }
	c.start()
	for i := range 12 {
		c.event(buildlib.Event{Step: buildlib.StepImage, Subject: fmt.Sprintf("an image with a name that is long %d", i), Platform: "linux/amd64"})
	}
	c.event(buildlib.Event{Step: buildlib.StepImage, Subject: "an image with a name that is long 3", Platform: "linux/amd64", Done: true})
	c.stop()
	lines := strings.Split(said.String(), "\n")
	var live, more int
	for _, l := range lines {
		if strings.Contains(l, "> ") {
			live++
			if at := strings.LastIndex(l, "\x1b[J"); at >= 0 {
				l = l[at+len("\x1b[J"):]
			}
			if n := len([]rune(l)); n >= 40 {
				t.Errorf("%d columns on a terminal of 40: %q", n, l)
			}
		}
		if strings.Contains(l, "> and 4 more") {
			more++
		}
	}
	if live == 0 || live%maxLive != 0 || more == 0 {
		t.Errorf("%d lines of running steps, %d that say how many more:\n%s", live, more, said)
	}
	// The last thing drawn was erased.
	if !strings.HasSuffix(said.String(), fmt.Sprintf("\x1b[%dA\x1b[J", maxLive)) {
		t.Errorf("the live view is left on the screen: %q", said)
	}
	if strings.Count(said.String(), "A\x1b[J")*maxLive != live {
		t.Errorf("not all that was drawn was erased: %q", said)
	}
}

func TestConsoleUnderCI(t *testing.T) {
	for _, env := range [][2]string{{"CI", "true"}, {"TERM", "dumb"}} {
		t.Run(env[0], func(t *testing.T) {
			t.Setenv(env[0], env[1])
			if func() bool { w, _ := newConsole().size(); return w != 0 }() {
				t.Error("a live view in a log")
			}
		})
	}
	if f, err := os.Open(os.DevNull); err != nil {
		t.Error(err)
	} else if width, _ := terminalSize(f); width != 0 || errors.Join(f.Close()) != nil {
		t.Errorf("%s is a terminal of %d columns", os.DevNull, width)
	}
}
