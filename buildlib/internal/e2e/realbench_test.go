package e2e

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/multimage/multimage/buildlib"
	"github.com/multimage/multimage/buildlib/internal/testenv"
)

// TestBench runs the benchmark of the smallest program for a platform that this
// machine has to emulate: its Go toolchain, which builds under QEMU what we
// cross-compile, makes the same binary.
func TestBench(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("user-mode emulation needs Linux")
	}
	platform, qemu := "linux/arm64", "qemu-aarch64-static"
	if runtime.GOARCH == "arm64" {
		platform, qemu = "linux/amd64", "qemu-x86_64-static"
	}
	if _, err := exec.LookPath(qemu); err != nil {
		testenv.Missing(t, "qemu", err.Error())
	}
	testenv.Slow(t)
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "my project")
	files, err := goModule(root, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	writeFile(t, filepath.Join(dir, "cmd", "tiny", "main.go"), "package main\n\nfunc main() { println(\"tiny\") }\n")
	writeFile(t, filepath.Join(dir, "magefiles", "magefile.go"), jsonMagefile)
	// What the compiler leaves out need not be emulated: a third of its time.
	project, err := json.Marshal(buildlib.Project{Go: buildlib.GoBuild{
		Flags: []string{"-gcflags=all=-N -l -dwarf=false"}, Ldflags: "-s -w",
	}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "project.json"), string(project))
	e := openExample(t, root, dir)
	summary := filepath.Join(t.TempDir(), "summary.md")
	e.env = append(e.env, "MULTIMAGE_PLATFORMS="+platform, "MULTIMAGE_BENCH_RUNS=1", "GITHUB_STEP_SUMMARY="+summary)

	table := strings.Join(e.mage(t, "bench"), "\n")
	for line := range strings.Lines(table) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("a line of more than 80 columns: %s", line)
		}
	}
	if !strings.Contains(table, platform) || !strings.Contains(table, "yes") {
		t.Errorf("the table is\n%s", table)
	}

	var got struct {
		Platforms []struct {
			Platform  string
			Host      bool
			Emulator  *struct{ Kind, Path, Version string }
			Toolchain string
			Cases     []struct {
				Name             string
				Native, Emulated *struct {
					Failure string
					Runs    []struct {
						Wall, User, System float64
						MaxRSS, PSS        int64
					}
				}
				Same *bool
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "dist", "bench", "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Platforms) != 2 || !got.Platforms[0].Host || got.Platforms[1].Platform != platform {
		t.Fatalf("platforms %+v, want the host's and %s", got.Platforms, platform)
	}
	emulated := got.Platforms[1]
	if emulated.Emulator == nil || emulated.Emulator.Version == "" || emulated.Toolchain == "" {
		t.Errorf("emulated by %+v, with the toolchain %q", emulated.Emulator, emulated.Toolchain)
	}
	for _, c := range emulated.Cases {
		if c.Same == nil || !*c.Same {
			t.Errorf("%s: the binaries of both sides are not the same", c.Name)
		}
		if c.Native == nil || c.Emulated == nil || len(c.Native.Runs) != 1 || len(c.Emulated.Runs) != 1 {
			t.Errorf("%s: not one run of each side: %+v", c.Name, c)
			continue
		}
		native, qemu := c.Native.Runs[0], c.Emulated.Runs[0]
		if native.MaxRSS == 0 || qemu.MaxRSS == 0 || qemu.PSS == 0 {
			t.Errorf("%s: no memory measured: %+v, %+v", c.Name, native, qemu)
		}
		// Instructions are translated: no machine is so noisy that it hides that.
		if qemu.User+qemu.System < 2*(native.User+native.System) {
			t.Errorf("%s: %+v natively, %+v emulated: was it?", c.Name, native, qemu)
		}
	}

	report, err := os.ReadFile(filepath.Join(dir, "dist", "bench", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "step summary", strings.TrimSpace(string(said)), strings.TrimSpace(string(report)))
	chart, err := os.Open(filepath.Join(dir, "dist", "bench", "chart.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer chart.Close()
	for d := xml.NewDecoder(chart); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("chart.svg: %v", err)
		}
	}
}
