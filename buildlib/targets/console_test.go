package targets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib"
)

// digestOf is a digest of one repeated digit.
func digestOf(digit string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}
}

// captured is a console without a terminal, and what it prints.
func captured() (c *console, results, said *strings.Builder) {
	results, said = &strings.Builder{}, &strings.Builder{}
	return &console{results: results, err: said, width: func() int { return 0 }}, results, said
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
			{Platform: "linux/amd64", Digest: digestOf("b"), Size: 45_678_901, Elapsed: 61 * time.Second},
			{Platform: "linux/riscv64/rva22u64", Digest: digestOf("c"), Size: 1_234_567_890, Elapsed: 1230 * time.Millisecond},
		}},
		{Name: "agent", Digest: digestOf("d"), Platforms: []buildlib.PlatformResult{
			{Platform: "linux/amd64", Digest: digestOf("e"), Size: 999, Elapsed: 40 * time.Millisecond},
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
		report   func(*console)
		results  string
		contains []string
	}{
		{"binaries", func(c *console) {
			c.binaries(&buildlib.Plan{}, []buildlib.BinaryResult{{Path: filepath.Join(dir, "dist", "bin", "x")}, {Path: filepath.Join(dir, "dist", "bin", "y.exe")}})
		}, "dist/bin/x\ndist/bin/y.exe\n", nil},
		{"no binaries", func(c *console) { c.binaries(skipped, nil) }, "", []string{"nothing to build: the platforms asked for leave out image tray\n"}},
		{"images", func(c *console) { c.images(skipped, []buildlib.ImageResult{local}) }, "dist/oci/router@" + a.String() + "\n",
			[]string{"IMAGE", "skipped, with none of the platforms asked for: image tray\n"}},
		{"published", func(c *console) { c.published(&buildlib.Plan{}, []buildlib.ImageResult{pushed}) },
			"ghcr.io/acme/router@" + a.String() + "\ndocker.io/acme/router@" + a.String() + "\n", []string{"IMAGE"}},
		{"published nowhere", func(c *console) { c.published(&buildlib.Plan{}, []buildlib.ImageResult{local}) },
			"dist/oci/router@" + a.String() + "\n", []string{"no registry is configured: router is tagged v1, latest in the layout dist/oci/router\n"}},
		{"loaded", func(c *console) {
			c.loaded([]buildlib.LoadResult{{Name: "router", Engine: "podman", Platform: "linux/arm64", Refs: []string{"localhost/router:v1"}, Note: "podman adds localhost/"}})
		}, "localhost/router:v1\n", []string{"loaded router for linux/arm64: run it with\n  podman run --rm localhost/router:v1\n", "podman adds localhost/\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, results, said := captured()
			tt.report(c)
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

// On a terminal the running steps are drawn below the finished ones, never
// wider than it is, and taken off in the end.
func TestLiveView(t *testing.T) {
	c, _, said := captured()
	c.width = func() int { return 40 }
	c.start()
	defer c.stop()
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
			if newConsole().width() != 0 {
				t.Error("a live view in a log")
			}
		})
	}
	if f, err := os.Open(os.DevNull); err != nil {
		t.Error(err)
	} else if width := terminalWidth(f); width != 0 || errors.Join(f.Close()) != nil {
		t.Errorf("%s is a terminal of %d columns", os.DevNull, width)
	}
}
